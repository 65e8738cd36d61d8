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
"""Characters of the log's text, or of a note, in a line."""


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
        self._write(line_of(notification))
        return Delivered()

    def alive(self, at_ms: int, every_s: float) -> None:
        """Writes a line.

        Raises:
            Undelivered: standard output cannot be written.
        """
        self._write(f"{_time(at_ms)} ALIVE | the alert path works; the next sign follows within {every_s:g} s")

    def check(self) -> None:
        """Always there."""

    def _write(self, line: str) -> None:
        # Titles are of every alphabet, standard output may be of few letters: what it lacks is shown as an escape.
        encoding = self._out.encoding or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        try:
            print(line, file=self._out, flush=True)
        except OSError as error:
            raise Undelivered("unwritable", str(error)) from error


def line_of(notification: Notification) -> str:
    """`TIME ACTION [severity] title | count, state | the log line, or the note | incident id`."""
    incident = notification.incident
    events = "1 event" if incident.count == 1 else f"{incident.count} events"
    at, note = _time(notification.created_ms), notification.note
    said = incident.sample.message if note is None else f"note by {note.author}: {note.text}"
    parts = (
        f"{at} {notification.action.value.upper()} [{incident.severity.value}] {incident.title}",
        f"{events}, {incident.state.value}" + (f" ({incident.reason})" if incident.reason else ""),
        cut(said, MESSAGE_LIMIT),
        incident.incident_id,
    )
    return " | ".join(printable(part) for part in parts)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
