"""What was delivered, and where: the receipts that the notifier writes."""

from __future__ import annotations

import msgspec

from streaming.alerting.messages import Action, Receipt
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.settings import Settings

KEEP_RESOLVED_MS = 24 * 60 * 60 * 1000
"""An incident reopens within ten minutes, and `notifications` keeps a day: after that nobody asks for the
receipt of a resolved one."""


def key_of(receipt: Receipt) -> bytes:
    """Key of a receipt in its topic."""
    return f"{receipt.incident_id}|{receipt.receiver}".encode()


def read_receipts(settings: Settings, *, wait_for_open: bool = False) -> list[Receipt]:
    """The latest receipt of each incident and receiver, in order of sending.

    Raises:
        Unavailable: Kafka does not answer.
    """
    values = read_all(settings, topics.NOTIFICATION_RECEIPTS, wait_for_open=wait_for_open).values()
    return sorted((msgspec.json.decode(value, type=Receipt) for value in values), key=lambda r: r.sent_ms)


def is_expired(receipt: Receipt, now_ms: int) -> bool:
    """Whether it may be deleted."""
    return receipt.action is Action.RESOLVE and now_ms - receipt.sent_ms > KEEP_RESOLVED_MS
