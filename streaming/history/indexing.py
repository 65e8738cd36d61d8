"""The part of an indexer's process that makes the events of incidents and the changes of nodes documents."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Set

from confluent_kafka import Message

from streaming.elastic import bulk
from streaming.elastic.bulk import Whole
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import Refused, ensure_templates, make_index
from streaming.errors import Unavailable
from streaming.history.sending import Item, items_of, later_than_known, settle
from streaming.history.sources import SOURCES, Unreadable, read
from streaming.indexer import backoff
from streaming.kafka.holding import HoldingConsumer, Place
from streaming.kafka.probe import Probe
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

RECORDS = 32
"""In hand at once. At most 600 KB each (`document.PAIRS_LIMIT`) are 19 MB, and 8 MB more are a request."""

WAIT_S = 0.5

ANSWER_WITHIN_S = 8.0
"""Of Elasticsearch. The thread waits for it, and a supervisor kills 10 s after it has asked a process to stop."""

QUEUE_KIB = 512
"""librdkafka's queue of this consumer; a single record may be larger and still passes."""


class HistoryIndexer:
    """Topics `incident-events` and `node-status` to Elasticsearch; offsets are committed behind it.

    At least once, and each event is one document by its id: what a crash repeats answers "duplicate", and what is later
    is never overwritten by it. While Elasticsearch is away nothing is read and nothing is lost, for as long as Kafka
    keeps the topics. Any number may run; each topic has one partition, so some of them work and the others stand by.
    """

    name = "history-indexer"

    def __init__(self, settings: Settings, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.health = Health(self.name, "kafka", "elasticsearch")
        self._settings, self._clock_ns = settings, clock_ns
        self._sources = {settings.topic(source.topic): source for source in SOURCES}
        self._elastic = Connection(settings.elastic, timeout_s=ANSWER_WITHIN_S)
        self._items: list[Item] = []
        self._attempts = 0
        self._singly = False
        self._not_before = 0.0
        self._ready = False
        self._input = HoldingConsumer(
            settings,
            self.name,
            list(self._sources),
            on_gone=self._on_gone,
            on_error=lambda why: self.health.set("kafka", False, why),
            queued_max_messages_kbytes=QUEUE_KIB,
            queued_min_messages=RECORDS,
        )
        self._probe = Probe(self._input.consumer, next(iter(self._sources)), self.health)
        self.health.set("kafka", True)

    def run_once(self) -> None:
        """Sends what is in hand, or else takes the next records.

        Raises:
            Unavailable: Kafka reports an error that does not pass.
        """
        if self._items or not self._ready:
            self._prepare(self._input.stay())
        else:
            messages = self._input.take(RECORDS, WAIT_S)
            self._prepare(messages)
            self._probe.look(read=bool(messages))
        self._send()

    def close(self) -> None:
        """Leaves the group; what is not committed is read again."""
        self._input.close()
        self._elastic.close()

    def _on_gone(self, partitions: Set[Place]) -> None:
        self._items = [item for item in self._items if item.source not in partitions]

    def _prepare(self, messages: list[Message]) -> None:
        found = []
        for message in messages:
            try:
                found.append(read(message, self._sources, self._settings.index_prefix, self._clock_ns()))
            except Unreadable as error:
                metrics.UNREADABLE.labels(self.name, "history").inc()
                log.error("event left unread", topic=message.topic(), offset=message.offset(), reason=str(error))
        self._items += items_of(found)

    def _send(self) -> None:
        if time.monotonic() < self._not_before:
            time.sleep(min(0.1, self._not_before - time.monotonic()))  # nothing else to do; `stay` keeps the group
            return
        self._attempts += 1
        try:
            if not self._ready:
                ensure_templates(self._settings, self._elastic)
                self._ready = True
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
        left: list[Item] = []
        whole: Whole | None = None
        for group in self._groups():
            answer = bulk.send(self._elastic, [item.line() for item in group])
            outcomes = bulk.read_answer(answer, len(group), self._attempts)
            whole = outcomes if isinstance(outcomes, Whole) else whole
            answered = settle(group, outcomes)
            if answered.homeless:
                self._make_indices(answered.homeless)
            left += [*answered.again, *later_than_known(self._elastic, answered.conflicts)]
        self._items = left
        if left:
            self._singly = self._singly or (whole is not None and whole.split)
            why = whole.reason if whole else "some were not taken yet"
            self._later(why if self._attempts > 2 else "", whole.retry_after_s if whole else None)

    def _groups(self) -> Iterator[list[Item]]:
        if self._singly:
            yield from ([item] for item in self._items)
        else:
            sizes = [len(item.encoded) for item in self._items]
            yield from (self._items[part] for part in bulk.chunks(sizes))

    def _later(self, trouble: str, retry_after_s: float | None) -> None:
        wait = backoff.delay_s(max(1, self._attempts), retry_after_s, random.random())  # noqa: S311 - spreads load
        self._not_before = time.monotonic() + wait
        if trouble:
            self.health.set("elasticsearch", False, f"events of incidents and nodes wait: {trouble}")

    def _make_indices(self, names: set[str]) -> None:
        ensure_templates(self._settings, self._elastic)  # a server that came back empty has lost its templates too
        for name in sorted(names):
            make_index(self._elastic, name)
