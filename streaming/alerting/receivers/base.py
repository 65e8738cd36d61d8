"""What a receiver of notifications is, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streaming.alerting.messages import Notification, Receipt


@dataclass(frozen=True)
class Delivered:
    """Where the message is, by the receiver's own names; what a later edit needs."""

    message_id: str | None = None
    channel: str | None = None


class Undelivered(Exception):
    """The notification did not arrive, or nobody knows whether it did; it will be tried again.

    `reason` is a short constant for metrics and health. `wait_s` is how long the receiver asks to wait (None: by the
    sender's own backoff). After `unknown` the next attempt must look before it posts. `misconfigured`: it will go on
    failing until a person acts, so the health answer is not healthy. `only_this`: the fault is the message's, so that
    others need not wait.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        wait_s: float | None = None,
        unknown: bool = False,
        misconfigured: bool = False,
        only_this: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.wait_s, self.unknown = reason, wait_s, unknown
        self.misconfigured, self.only_this = misconfigured, only_this


class Receiver(Protocol):
    """One way to tell people. Each is called from one thread only, so it may block for its own time-outs."""

    name: str

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        """Makes the receiver show the notification's incident as it is in it.

        `receipt` is what was delivered of this incident before. `look_first` is true when an earlier attempt may
        have arrived: whoever can look, looks before posting again; whoever cannot, delivers at least once.

        Raises:
            Undelivered: try again later.
        """
        ...

    def check(self) -> None:
        """Asks, once at the start, whether the receiver would take a message.

        Raises:
            Undelivered: it would not.
        """
        ...
