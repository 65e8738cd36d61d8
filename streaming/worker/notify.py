"""What a worker tells systemd of itself: started, alive, how it is, stopping (sd_notify(3)).

The protocol is a datagram of lines, and systemd promises to keep it; the libraries for it add nothing to that but a
dependency. Where nobody listens (`NOTIFY_SOCKET` is not set: under the supervisor, in a terminal) nothing is done.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from streaming.worker.health import Answer, Health

STATUS_EVERY_S = 1.0
STATUS_CHARACTERS = 500


class Notifier:
    """One process's word to systemd. Made once; `look` is called several times a second while the workers run."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = _watchdog_s(environment)
        self._clock = clock
        self._alive_at = self._told_at = clock()
        self._told = ""

    def ready(self) -> None:
        """The workers have started: systemd counts the unit as running, and its watchdog begins."""
        self._alive_at = self._clock()
        self._send("READY=1")

    def stopping(self) -> None:
        """A clean stop has begun."""
        self._send("STOPPING=1")

    def look(self, healths: Sequence[Health]) -> None:
        """Tells that all workers move, if they do, and how they are, if that changed.

        Each sign of life needs a round of every worker since the last one. So a worker that hangs takes the process
        with it: systemd's watchdog ends it at most `WatchdogSec` and a quarter of that after its last round.
        """
        if not self._address:
            return
        now = self._clock()
        if self._watchdog_s is not None and now - self._alive_at >= self._watchdog_s / 4:
            since = now - self._alive_at
            if all(health.idle_s <= since for health in healths):
                self._alive_at = now
                self._send("WATCHDOG=1")
        if now - self._told_at >= STATUS_EVERY_S:
            self._told_at = now
            status = summary([health.answer() for health in healths])
            if status != self._told:
                self._told = status
                self._send(f"STATUS={status}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # If systemd cannot be told, its time-outs say so; the work does not depend on it.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(message.encode(), socket.MSG_NOSIGNAL, self._address)


def summary(answers: Sequence[Answer]) -> str:
    """One line for `systemctl status`: "healthy", or what is not well and why."""
    failing = [
        (f"{answer['worker']}: " if len(answers) > 1 else "")
        + f"not {name}"
        + (f" ({check['detail']})" if check["detail"] else "")
        for answer in answers
        for name, check in answer["checks"].items()
        if not check["ok"]
    ]
    text = "; ".join(failing) or "healthy"
    return "".join(c if c.isprintable() else " " for c in text)[:STATUS_CHARACTERS]


def _address(given: str) -> str:
    if given.startswith("@"):  # the abstract namespace
        return "\0" + given[1:]
    return given if given.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """How often systemd wants a sign of life from this very process; None: it does not."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or not int(microseconds) or (process and process != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
