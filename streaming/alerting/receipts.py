"""What was delivered, and where: the receipts that the notifier writes."""

from __future__ import annotations

from collections.abc import Collection

from streaming.alerting.messages import Action, IncidentState, Receipt
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.settings import Settings

KEEP_RESOLVED_MS = 24 * 60 * 60 * 1000
"""An incident reopens within ten minutes: after a day nobody asks for the receipt of a resolved one, unless a record
that is not committed tells of it (`Horizon`)."""

SKEW_MS = 60 * 60 * 1000
"""By so much the clocks may differ of who writes notifications and who delivers them."""


class Horizon:
    """From when on receipts are needed however old they are. Pure.

    The offset stands at the oldest notification that is not finished, for days where a receiver is away for days. All
    that came after it is read again by the next notifier, which knows from receipts what was delivered: without them it
    would send all of it once more.
    """

    def __init__(self) -> None:
        self._since_ms: int | None = None

    def begin(self, since_ms: int | None) -> None:
        """This notifier is active. `since_ms`: nothing older is uncommitted; None: the first record will tell."""
        self._since_ms = since_ms

    def read(self, at_ms: int) -> None:
        """A record of this time was read."""
        if self._since_ms is None:
            self._since_ms = at_ms

    def needed_ms(self, oldest_ms: int | None, now_ms: int) -> int | None:
        """Receipts that were sent before may be given up; None: none may. `oldest_ms`: of what is unfinished now; None:
        nothing is.

        What was finished since it was last asked counts as unfinished: its commit may be under way.
        """
        if self._since_ms is None:
            return None
        current = now_ms if oldest_ms is None else oldest_ms
        needed, self._since_ms = min(self._since_ms, current), current
        return needed - SKEW_MS


def key_of(receipt: Receipt) -> bytes:
    """Key of a receipt in its topic."""
    return f"{receipt.incident_id}|{receipt.receiver}".encode()


def read_receipts(settings: Settings, *, wait_for_open: bool = False, with_intents: bool = False) -> list[Receipt]:
    """The latest receipt of each incident and receiver that can be read, in order of sending; `with_intents`: also of
    what was about to be told (`Receipt.intent`), and of which nothing was delivered before.

    Raises:
        Unavailable: Kafka does not answer.
    """
    records = read_all(settings, topics.NOTIFICATION_RECEIPTS, wait_for_open=wait_for_open)
    found = readable(records, Receipt, topics.NOTIFICATION_RECEIPTS, "notifier")
    delivered = (receipt for receipt in found.values() if with_intents or receipt.version)
    return sorted(delivered, key=lambda receipt: receipt.sent_ms)


def alerted(receipt: Receipt) -> int:
    """The last version of the incident that alerted people there."""
    return receipt.version if receipt.alerted is None else receipt.alerted


def is_over(receipt: Receipt) -> bool:
    """Whether people know there that the incident is over: also where an edit came after its resolution."""
    return receipt.action is Action.RESOLVE or receipt.state is IncidentState.RESOLVED


def expired(receipts: Collection[Receipt], now_ms: int, needed_ms: int) -> list[Receipt]:
    """Those that may be deleted; none that was sent since `needed_ms`. Of a digest all or none: its totals would
    fall."""
    before_ms = min(now_ms - KEEP_RESOLVED_MS, needed_ms)
    needed = {receipt.digest for receipt in receipts if receipt.digest and not _is_expired(receipt, before_ms)}
    return [receipt for receipt in receipts if _is_expired(receipt, before_ms) and receipt.digest not in needed]


def _is_expired(receipt: Receipt, before_ms: int) -> bool:
    return is_over(receipt) and receipt.sent_ms < before_ms
