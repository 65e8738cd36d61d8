"""What was replayed: one receipt for each dead letter, in the compacted topic `dead-letter-replays`.

The key is the letter's document id, so that a letter that was written twice is replayed once. A receipt is first
written `planned`, which fixes the letter's number in its replay, and `sent` when the record is in the logs; so a replay
that is killed is taken up again with the same numbers, which the matcher knows as repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from streaming import decoding
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.kafka.transactions import Aborted, TransactionalProducer
from streaming.settings import Settings


class Receipt(msgspec.Struct, kw_only=True, frozen=True):
    """State of one letter's last replay. `partition` and `offset` are the letter's place, `index` its document's."""

    replay_id: str
    sequence: int
    partition: int
    offset: int
    index: str
    at_ms: int
    sent: bool = False
    marked: bool = False
    """Whether the document in Elasticsearch says so too."""


Receipts = dict[str, Receipt]
"""By document id."""


def read_receipts(settings: Settings, *, wait_for_open: bool = False) -> Receipts:
    """All receipts; those that cannot be read are left out.

    Raises:
        Unavailable: Kafka does not answer.
    """
    found: Receipts = {}
    for key, value in read_all(settings, topics.DEAD_LETTER_REPLAYS, wait_for_open=wait_for_open).items():
        try:
            found[key.decode()] = decoding.decode(value, Receipt)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found


class ReceiptBook:
    """Writes receipts. One replay at a time: who opens the book takes it from whoever has it.

    Raises (every method): Fenced, where another replay has taken it; Unavailable, where Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(topics.DEAD_LETTER_REPLAYS)
        self._out = TransactionalProducer(settings.kafka, settings.group("dead-letter-replay"))

    def write(self, receipts: Receipts, gone: Iterable[str] = ()) -> None:
        """All of these at once, and none any more for `gone`."""
        gone = list(gone)
        if not receipts and not gone:
            return
        with self._transaction():
            for document_id, receipt in receipts.items():
                self._out.producer.produce(self._topic, msgspec.json.encode(receipt), document_id)
            for document_id in gone:
                self._out.producer.produce(self._topic, None, document_id)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._out.transaction():
                yield
        except Aborted as error:
            raise Unavailable(f"Kafka did not take the receipts ({error}); run the same command again") from error
