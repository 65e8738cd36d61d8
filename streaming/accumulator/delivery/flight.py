"""A chunk on its way to Kafka: what was produced, confirmed, refused, and what follows for the refused. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message

from streaming.accumulator.delivery.ledger import Fates
from streaming.accumulator.delivery.outgoing import Piece, piece_of
from streaming.accumulator.delivery.retries import is_refusal
from streaming.accumulator.spool.segment import Stored
from streaming.events import coordinates


class Flight:
    """One chunk. `partial(confirm, headers)` is the callback of each of its records; `trouble` is where errors that
    are no refusal go (see retries.is_refusal)."""

    def __init__(self, chunk: Stored, trouble: list[KafkaError], started_ns: int, own_topics: frozenset[str]) -> None:
        self.chunk = chunk
        self.started_ns = started_ns
        self.fates = Fates()
        self.produced = 0
        self.confirmed = 0
        self.complete = False
        """All of it was handed to the client (for the first time)."""
        self.refused: dict[Piece, KafkaError] = {}
        """By Kafka, since the last `take_refused`."""
        self.topics: Counter[str] = Counter()
        self._trouble, self._own_topics = trouble, own_topics

    @property
    def landed(self) -> bool:
        """Nothing of it is under way."""
        return self.complete and self.confirmed + len(self.refused) >= self.produced

    def confirm(self, headers: Sequence[tuple[str, bytes]], error: KafkaError | None, message: Message) -> None:
        """Called for each record, from `poll`, with the headers that it was produced with: the client does not give
        them back."""
        if error is None:
            self.confirmed += 1
        else:
            self.failed(error, headers, message.topic() or "")

    def confirming(self) -> Callable[[bytes, KafkaError | None, Message], None]:
        """`confirm` for records whose only header is their coordinates, which is what it takes instead.

        A function, so that `MethodType(confirming, coordinates)` is a callback: it costs a third of a `partial`. Made
        anew each time, since one that the flight itself held would keep it until the cyclic collector comes by.
        """

        def confirm(header: bytes, error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.confirmed += 1
            else:
                self.failed(error, [(coordinates.HEADER, header)], message.topic() or "")

        return confirm

    def failed(self, error: KafkaError, headers: Sequence[tuple[str, bytes]], topic: str) -> None:
        """A record was not taken."""
        if not is_refusal(error, topic, self._own_topics):
            self._trouble.append(error)
            return
        self.refused[piece_of(dict(headers), topic)] = error

    def take_refused(self) -> dict[Piece, KafkaError]:
        """What was refused; it no longer counts as produced."""
        found, self.refused = self.refused, {}
        self.produced -= len(found)
        return found
