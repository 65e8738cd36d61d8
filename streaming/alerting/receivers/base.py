"""What a receiver of notifications is, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streaming.alerting.messages import Action, Incident, Note, Notification, Receipt


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


@runtime_checkable
class ShowsLife(Protocol):
    """A receiver that can be a dead man's switch: webhook, alertmanager, email, console."""

    def alive(self, at_ms: int, every_s: float) -> None:
        """Says that alerts would be delivered, at `at_ms`; the next such sign follows after `every_s`. What it sends
        raises nothing where it arrives; that it stops does.

        Raises:
            Undelivered: it did not arrive. The next one comes at its time all the same.
        """
        ...


@runtime_checkable
class Closes(Protocol):
    """A receiver that holds something that it must let go of: connections, threads."""

    def close(self) -> None:
        """Lets go of it; the receiver is not used again."""
        ...


@dataclass(frozen=True)
class Digest:
    """Incidents that one message tells of, since there are more than may be told singly."""

    digest_id: str
    began_ms: int
    """When it was begun: its message is not older."""
    members: Sequence[Receipt]
    """The incidents as they are to be shown, in the order in which they joined."""
    message: Delivered | None
    """Its message; None: it has none yet, or nobody knows."""
    mentions: tuple[str, ...] = ()
    """People to call by name."""


@dataclass(frozen=True)
class Notice:
    """What happened to some members of a digest and must alert, which the digest's edit does not."""

    notice_id: str
    began_ms: int
    action: Action
    """REPEAT: they go on, and nobody has acknowledged them. ESCALATE: and somebody else is called. RESOLVE: all of
    the digest are over. ANNOTATE: somebody attached a note to one."""
    members: Sequence[Receipt]
    mentions: tuple[str, ...] = ()
    note: Note | None = None
    """ANNOTATE: what is attached to the one member."""


@runtime_checkable
class TellsMany(Protocol):
    """A receiver that can tell of many incidents in one message. What its lane does with it: `notifier/digests.py`.

    Where `deliver` raises `Undelivered("paced")` and more wait than may go singly, the lane gathers those that need a
    message of their own into a digest, and writes it again as its members change. Ids of digests and notices stay the
    same over every retry, also of the next notifier.
    """

    def find_told(self, wanted: Mapping[str, tuple[Incident, Receipt | None]], since_ms: int) -> frozenset[str]:
        """Of these incidents, by id, those that have a message of their own already, newer than their receipt's.

        Raises:
            Undelivered: nobody knows; ask again later.
        """
        ...

    def write_digest(self, digest: Digest, look_first: bool) -> Delivered:
        """Makes its message show the digest as it is: edits the one it has, else posts one.

        `look_first`: it may have been posted. Raises:
            Undelivered: try again later; `paced`: when a message may be posted.
        """
        ...

    def write_notice(self, digest: Digest, notice: Notice, look_first: bool) -> None:
        """Posts a notice about members of a digest that has a message; with `look_first` only if it is not there yet.

        Raises:
            Undelivered: try again later.
        """
        ...
