"""What indexers of small topics share: records are in hand until Elasticsearch has taken all that comes of them."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Generic, Protocol, TypeVar

from confluent_kafka import Message

from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Whole
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import Refused, ensure_templates, make_index
from streaming.errors import Unavailable
from streaming.indexer import backoff
from streaming.kafka.holding import HoldingConsumer, Place
from streaming.kafka.probe import Probe
from streaming.settings import Settings
from streaming.worker.health import Health

WAIT_S = 0.5

ANSWER_WITHIN_S = 8.0
"""Of Elasticsearch. The thread waits for it, and a supervisor kills 10 s after it has asked a process to stop."""

QUEUE_KIB = 512
"""librdkafka's queue of this consumer; a single record may be larger and still passes."""


class Item(Protocol):
    """A document on its way. `source`: topic and partition from which it comes; `encoded`: as sent."""

    source: Place
    encoded: bytes

    def line(self) -> bytes:
        """As `_bulk` takes it."""


ItemT = TypeVar("ItemT", bound=Item)


class InHandIndexer(ABC, Generic[ItemT]):
    """Topics to Elasticsearch; offsets are committed behind it.

    At least once: what a crash repeats is found to be there. While Elasticsearch is away nothing is read and nothing is
    lost, for as long as Kafka keeps the topics. Any number may run; of a topic with one partition one works and the
    others stand by.
    """

    name: str
    """Of the worker, and of its group."""
    most: int
    """Records in hand at once."""
    what: str
    """It indexes, for a person."""

    def __init__(self, settings: Settings, topics: Sequence[str], clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.health = Health(self.name, "kafka", "elasticsearch")
        self._settings, self._clock_ns = settings, clock_ns
        self._elastic = Connection(settings.elastic, timeout_s=ANSWER_WITHIN_S)
        self._items: list[ItemT] = []
        self._attempts = 0
        self._singly = False
        """A request was too much for Elasticsearch as a whole: each item goes alone."""
        self._not_before = 0.0
        self._has_templates = False
        self._input = HoldingConsumer(
            settings,
            self.name,
            topics,
            on_gone=self._on_gone,
            on_error=lambda why: self.health.set("kafka", False, why),
            queued_max_messages_kbytes=QUEUE_KIB,
            queued_min_messages=self.most,
        )
        self._probe = Probe(self._input.consumer, topics[0], self.health)
        self.health.set("kafka", True)

    @abstractmethod
    def _read(self, messages: Sequence[Message]) -> list[ItemT]:
        """What is to be sent of these records."""

    @abstractmethod
    def _settle(self, sent: list[ItemT], outcomes: list[Outcome] | Whole | None) -> list[ItemT]:
        """What is still to be sent, after the answer to a request with these.

        Raises:
            Unavailable, Refused: Elasticsearch does not do what follows from the answer; all in hand is sent again.
        """

    def run_once(self) -> None:
        """Sends what is in hand, or else takes the next records.

        Raises:
            Unavailable: Kafka reports an error that does not pass.
        """
        if self._items or not self._has_templates:
            self._items += self._read(self._input.stay())
        else:
            messages = self._input.take(self.most, WAIT_S)
            self._items += self._read(messages)
            self._probe.look(read=bool(messages))
        if time.monotonic() < self._not_before:
            time.sleep(min(0.1, self._not_before - time.monotonic()))  # nothing else to do; `stay` keeps the group
            return
        self._send()

    def close(self) -> None:
        """Leaves the group; what is not committed is read again."""
        self._input.close()
        self._elastic.close()

    def _on_gone(self, partitions: Set[Place]) -> None:
        self._items = [item for item in self._items if item.source not in partitions]

    def _send(self) -> None:
        self._attempts += 1
        try:
            if not self._has_templates:
                ensure_templates(self._settings, self._elastic)
                self._has_templates = True
            self._send_items()
        except (Unavailable, Refused) as error:
            self._later(str(error), None)
            return
        if not self._items:
            self._singly, self._attempts = False, 0
            self.health.set("elasticsearch", True)
            self._input.commit()

    def _send_items(self) -> None:
        """Sends what is in hand once, and keeps what is to be sent again."""
        left: list[ItemT] = []
        whole: Whole | None = None
        for group in self._groups():
            answer = bulk.send(self._elastic, [item.line() for item in group])
            outcomes = bulk.read_answer(answer, len(group), self._attempts)
            whole = outcomes if isinstance(outcomes, Whole) else whole
            left += self._settle(group, outcomes)
        self._items = left
        if left:
            self._singly = self._singly or (whole is not None and whole.split)
            why = whole.reason if whole else "some were not taken yet"
            self._later(why if self._attempts > 2 else "", whole.retry_after_s if whole else None)

    def _groups(self) -> Iterator[list[ItemT]]:
        if self._singly:
            yield from ([item] for item in self._items)
        else:
            sizes = [len(item.encoded) for item in self._items]
            yield from (self._items[part] for part in bulk.chunks(sizes))

    def _later(self, trouble: str, retry_after_s: float | None) -> None:
        wait = backoff.delay_s(max(1, self._attempts), retry_after_s, random.random())  # noqa: S311 - spreads load
        self._not_before = time.monotonic() + wait
        if trouble:
            self.health.set("elasticsearch", False, f"{self.what} wait: {trouble}")

    def _make_indices(self, names: Iterable[str]) -> None:
        ensure_templates(self._settings, self._elastic)  # a server that came back empty has lost its templates too
        for name in sorted(set(names)):
            make_index(self._elastic, name)
