"""The part of an indexer's process that makes every dead letter a document."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Message

from streaming.dead_letters import document
from streaming.dead_letters.letters import DeadLetter, read_letter
from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import Refused, ensure_templates, make_index
from streaming.elastic.finished import LATE_MS, lift
from streaming.errors import Unavailable
from streaming.indexer import backoff
from streaming.kafka import topics
from streaming.kafka.holding import HoldingConsumer
from streaming.kafka.probe import Probe
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

LETTERS = 64
"""A request: see `document.ORIGINAL_BYTES`."""

WAIT_S = 0.5

_DELETED = "document_missing_exception"

ANSWER_WITHIN_S = 8.0
"""Of Elasticsearch. The thread waits for it, and a supervisor kills 10 s after it has asked a process to stop."""

QUEUE_KIB = 512
"""librdkafka's queue of this consumer; a single letter may be larger and still passes."""


@dataclass(eq=False)
class Item:
    """A letter on its way: the document, what is sent instead if Elasticsearch refuses that, and what is written into
    the one that is there already."""

    place: str
    index: str
    document_id: str
    encoded: bytes
    bare: bytes | None
    moved: bytes

    def line(self) -> bytes:
        """As `_bulk` takes it."""
        return bulk.item(bulk.create_line(self.index), self.document_id.encode(), self.encoded)

    def moving_line(self) -> bytes:
        """As `_bulk` takes it, for a document that is there and may say another place."""
        return bulk.update(self.index, self.document_id, self.moved)


def settle(items: list[Item], outcomes: list[Outcome] | Whole | None) -> list[Item]:
    """What is still to be sent, after an answer. An item that is refused goes again bare, and once bare is given up:
    nothing of it may keep the letters behind it from being indexed. Sets no clock and sends nothing."""
    if outcomes is None:
        metrics.DEAD_LETTERS_INDEXED.inc(len(items))
        return []
    if isinstance(outcomes, Whole):
        if not (outcomes.split and len(items) == 1):
            return items
        outcomes = [Outcome(Verdict.DEAD_LETTER, "refused", outcomes.reason)]
    left: list[Item] = []
    for item, outcome in zip(items, outcomes, strict=True):
        match outcome.verdict:
            case Verdict.DONE:
                metrics.DEAD_LETTERS_INDEXED.inc()
            case Verdict.DUPLICATE:
                metrics.DEAD_LETTERS_REPEATED.inc()
            case Verdict.RETRY | Verdict.NO_INDEX | Verdict.BLOCKED:
                left.append(item)
            case Verdict.DEAD_LETTER if item.bare is not None:
                item.encoded, item.bare = item.bare, None
                left.append(item)
            case Verdict.DEAD_LETTER:
                metrics.DEAD_LETTERS_REFUSED.inc()
                log.error("a dead letter has no document", place=item.place, why=outcome.reason, detail=outcome.detail)
    return left


class DeadLetterIndexer:
    """Topic `dead-letters` to Elasticsearch, each letter once by its id; offsets are committed behind it.

    At least once: what a crash repeats answers "duplicate". While Elasticsearch is away nothing is read and nothing
    is lost. Any number may run; the topic has one partition, so one of them works and the others stand by.
    """

    name = "dead-letter-indexer"

    def __init__(self, settings: Settings, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.health = Health(self.name, "kafka", "elasticsearch")
        self._settings, self._clock_ns = settings, clock_ns
        self._elastic = Connection(settings.elastic, timeout_s=ANSWER_WITHIN_S)
        topic = settings.topic(topics.DEAD_LETTERS)
        self._items: list[Item] = []
        self._attempts = 0
        self._singly = False
        self._not_before = 0.0
        self._ready = False
        self._input = HoldingConsumer(
            settings,
            self.name,
            [topic],
            on_gone=lambda _: self._items.clear(),  # the topic has one partition
            on_error=lambda why: self.health.set("kafka", False, why),
            queued_max_messages_kbytes=QUEUE_KIB,
            queued_min_messages=LETTERS,
        )
        self._probe = Probe(self._input.consumer, topic, self.health)
        self.health.set("kafka", True)

    def run_once(self) -> None:
        """Sends what is in hand, or else takes the next letters.

        Raises:
            Unavailable: Kafka reports an error that does not pass.
        """
        if self._items or not self._ready:
            self._prepare(self._input.stay())
        else:
            self._prepare(self._input.take(LETTERS, WAIT_S))
            self._probe.look(read=bool(self._items))
        self._send()

    def close(self) -> None:
        """Leaves the group; what is not committed is read again."""
        self._input.close()
        self._elastic.close()

    def _prepare(self, messages: list[Message]) -> None:
        now_ns = self._clock_ns()
        for message in messages:
            letter = read_letter(message)
            item = self._item(letter, now_ns)
            if item is None:
                metrics.DEAD_LETTERS_EXPIRED.inc()
            else:
                self._items.append(item)

    def _item(self, letter: DeadLetter, now_ns: int) -> Item | None:
        index = document.index_of(letter, self._settings.index_prefix, self._settings.retention_days, now_ns)
        if index is None:
            return None
        return Item(
            f"{letter.topic}-{letter.partition}-{letter.offset}",
            index,
            document.document_id(letter),
            document.encode(document.document(letter, now_ns)),
            document.encode(document.bare_document(letter, now_ns)),
            document.encode(document.place_of(letter)),
        )

    def _send(self) -> None:
        if time.monotonic() < self._not_before:
            time.sleep(min(0.1, self._not_before - time.monotonic()))  # nothing else to do; `stay` keeps the group
            return
        try:
            self._ready = self._ready or self._make_templates()
            left = self._sent()
        except (Unavailable, Refused) as error:
            self._later(str(error), None)
            return
        if left:
            return
        self._singly, self._attempts = False, 0
        self.health.set("elasticsearch", True)
        self._input.commit()

    def _sent(self) -> bool:
        """Sends what is in hand once; whether something is left."""
        groups = [[item] for item in self._items] if self._singly else [self._items] if self._items else []
        left: list[Item] = []
        whole: Whole | None = None
        for group in groups:
            self._attempts += 1
            answer = bulk.send(self._elastic, [item.line() for item in group])
            outcomes = bulk.read_answer(answer, len(group), self._attempts)
            whole = outcomes if isinstance(outcomes, Whole) else whole
            if isinstance(outcomes, list) and any(o.verdict is Verdict.NO_INDEX for o in outcomes):
                self._make_indices({item.index for item in group})
            if isinstance(outcomes, list) and any(o.verdict is Verdict.BLOCKED for o in outcomes):
                self._open({item.index for item in group})
            if isinstance(outcomes, list):
                self._move([i for i, o in zip(group, outcomes, strict=True) if o.verdict is Verdict.DUPLICATE])
            left += settle(group, outcomes)
        self._items = left
        if left:
            self._singly = self._singly or (whole is not None and whole.split)
            why = whole.reason if whole else "some letters were not taken yet"
            self._later(why if self._attempts > 2 else "", whole.retry_after_s if whole else None)
        return bool(left)

    def _move(self, repeated: list[Item]) -> None:
        """Lets the documents of letters that were written again say where these lie now: after a restore nothing is
        found at the old place. Changes nothing where it is the same.

        Raises:
            Unavailable: not all say it; send the letters again.
        """
        if not repeated:
            return
        answer = bulk.send(self._elastic, [item.moving_line() for item in repeated])
        outcomes = bulk.read_answer(answer, len(repeated), self._attempts)
        if isinstance(outcomes, Whole):
            raise Unavailable(f"Elasticsearch does not take the places of letters: {outcomes.reason}")
        for item, outcome in zip(repeated, outcomes or [], strict=False):
            if outcome.verdict is Verdict.DEAD_LETTER and outcome.reason != _DELETED:
                log.error("a dead letter's document has an old place", place=item.place, why=outcome.reason)
            elif outcome.verdict is Verdict.BLOCKED:
                self._open({item.index})
                raise Unavailable(f"index {item.index} was finished; it is opened for a letter that came late")
            elif outcome.verdict is not Verdict.DONE:
                raise Unavailable(f"Elasticsearch does not take the place of a letter: {outcome.reason}")

    def _later(self, trouble: str, retry_after_s: float | None) -> None:
        wait = backoff.delay_s(max(1, self._attempts), retry_after_s, random.random())  # noqa: S311 - spreads load
        self._not_before = time.monotonic() + wait
        if trouble:
            self.health.set("elasticsearch", False, f"dead letters wait: {trouble}")

    def _make_templates(self) -> bool:
        ensure_templates(self._settings, self._elastic)
        self.health.set("elasticsearch", True)
        return True

    def _make_indices(self, names: set[str]) -> None:
        ensure_templates(self._settings, self._elastic)  # a server that came back empty has lost its templates too
        for name in sorted(names):
            make_index(self._elastic, name)

    def _open(self, names: set[str]) -> None:
        """Lets indices that roll has finished take letters that came late; a block of anybody else is waited for."""
        opened = lift(self._elastic, names, self._clock_ns() // 1_000_000 + LATE_MS)
        metrics.INDICES_OPENED.inc(len(opened))
