"""Notifications as lines on standard output, for an installation without Slack.

At least once: after a crash between the line and its receipt the line is written again.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TextIO

from streaming.alerting.messages import Notification, Receipt
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.routes import CONSOLE
from streaming.alerting.text import cut, printable

MESSAGE_LIMIT = 300
"""Characters of the log's text in a line."""


class ConsoleReceiver:
    """One line for each notification. Control characters of the log's text are shown, never sent to the terminal."""

    name = CONSOLE

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:  # noqa: ARG002
        """Writes the line.

        Raises:
            Undelivered: standard output cannot be written.
        """
        try:
            print(line_of(notification), file=self._out, flush=True)
        except OSError as error:
            raise Undelivered("unwritable", str(error)) from error
        return Delivered()

    def check(self) -> None:
        """Always there."""


def line_of(notification: Notification) -> str:
    """`TIME ACTION [severity] title | count, state | the log line | incident id`."""
    incident = notification.incident
    at = datetime.fromtimestamp(notification.created_ms / 1000, UTC).isoformat(timespec="milliseconds")
    events = "1 event" if incident.count == 1 else f"{incident.count} events"
    parts = (
        f"{at} {notification.action.value.upper()} [{incident.severity.value}] {incident.title}",
        f"{events}, {incident.state.value}" + (f" ({incident.reason})" if incident.reason else ""),
        cut(incident.sample.message, MESSAGE_LIMIT),
        incident.incident_id,
    )
    return " | ".join(printable(part) for part in parts)
