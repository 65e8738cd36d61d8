"""Which receivers an incident is told to, by its route."""

from __future__ import annotations

from streaming.settings import Settings

CONSOLE, SLACK, CANARY = "console", "slack", "canary"


def has_slack(settings: Settings) -> bool:
    """Whether Slack can be written to."""
    return bool(settings.slack_bot_token.get_secret_value() and settings.slack_channel)


def receivers_for(route: str, settings: Settings) -> tuple[str, ...]:
    """Names of the receivers of a route. One that this version does not know is told like the default:
    an alert in the wrong place beats none."""
    if route == "canary":
        return (CANARY,)
    return (SLACK,) if has_slack(settings) else (CONSOLE,)
