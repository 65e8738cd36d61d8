"""Slack: one message for each incident, edited as it changes; what must alert is a reply or a new message.

Each message carries what it is about as metadata, so that after an unknown outcome (a time-out, a SIGKILL between the
post and its receipt) the channel's history answers whether it was posted. Scopes and what people see: docs/slack.md.
"""

from __future__ import annotations

from streaming.alerting.receivers.links import Links
from streaming.alerting.receivers.slack.receiver import SlackReceiver
from streaming.alerting.receivers.slack.view import View

__all__ = ["Links", "SlackReceiver", "View"]
