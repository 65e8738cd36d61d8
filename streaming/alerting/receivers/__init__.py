"""Receivers of notifications: one file each, behind the protocol of `base.py`."""

from __future__ import annotations

from streaming.alerting.receivers.base import Receiver
from streaming.alerting.receivers.canary import CanaryReceiver
from streaming.alerting.receivers.console import ConsoleReceiver
from streaming.alerting.routes import has_slack
from streaming.settings import Settings


def make_receivers(settings: Settings) -> list[Receiver]:
    """Every receiver that the settings allow for."""
    receivers: list[Receiver] = [CanaryReceiver(), ConsoleReceiver()]
    if has_slack(settings):
        # slack-sdk costs some MB of memory, which who has no Slack need not spend.
        from streaming.alerting.receivers.slack import SlackReceiver

        receivers.append(
            SlackReceiver(
                settings.slack_bot_token.get_secret_value(),
                settings.slack_channel,
                settings.slack_api_url,
                messages_per_s=settings.slack_messages_per_s,
            )
        )
    return receivers
