"""Receivers and routes that are there without any rule file."""

from __future__ import annotations

from streaming.settings import Settings

CONSOLE, SLACK, CANARY = "console", "slack", "canary"
"""Receivers that are built in; `canary` is a route, too."""

DEFAULT = "default"
"""The route of what no other fits."""


def has_slack(settings: Settings) -> bool:
    """Whether Slack can be written to."""
    return bool(settings.slack_bot_token.get_secret_value() and settings.slack_channel)


def default_receiver(settings: Settings) -> str:
    """Who is told where the rule files have no route `default`."""
    return SLACK if has_slack(settings) else CONSOLE
