"""Writes the ledger: pages of what was delivered, and moves the spool's cursor once a page is in Kafka."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streaming.accumulator.delivery import ledger
from streaming.accumulator.delivery.ledger import Draft, Entry
from streaming.accumulator.spool.segment import Stored
from streaming.accumulator.spool.spool import Spool
from streaming.worker.logs import logger

log = logger(__name__)

PAGE_EVERY_S = 1.0
"""What a killed process delivered since its last page is delivered again. A page of some hundred bytes a second is
10 to 40 MB a day for each accumulator."""
PAGE_EVENTS = 100_000
PAGE_FATES = 256 * 1024
"""Characters; with the largest single chunk's (ledger.PLACES_LIMIT for each place) still below Kafka's 1 MB."""
PAGE_CHUNKS = 20_000
"""Two to ten characters each."""
LIFE_EVERY_S = 10.0
"""A page though nothing was delivered: it says how far is spooled."""
PENDING_CHUNKS = 100_000
"""Delivered and not yet in the ledger; past that no more are delivered, until Kafka takes pages."""
RETRY_S = 1.0


@dataclass(eq=False)
class _Page:
    value: bytes
    chunks: list[Stored]
    """Without their bodies."""
    sent: bool = False
    confirmed: bool = False
    not_before: float = 0.0


@dataclass
class LedgerWriter:
    """One accumulator's ledger. `producer` gives the client of the moment. For one thread."""

    topic: str
    accumulator: str
    incarnation: str
    spool: Spool
    producer: Callable[[], Producer]
    clock: Callable[[], float] = time.monotonic
    trouble: str = ""
    """Why Kafka does not take pages; empty if all is well."""
    _draft: Draft = field(init=False)
    _chunks: list[Stored] = field(default_factory=list)
    _pages: deque[_Page] = field(default_factory=deque)
    _pending: int = 0
    _began: float = 0.0
    _start: bool = True

    def __post_init__(self) -> None:
        self._draft = Draft(self.spool.delivered_to)
        self._began = self.clock()

    @property
    def behind(self) -> bool:
        """So much waits for pages that no more should be delivered."""
        return self._pending > PENDING_CHUNKS

    @property
    def outstanding(self) -> bool:
        """A page is on its way."""
        return any(page.sent and not page.confirmed for page in self._pages)

    @property
    def next_due(self) -> float:
        """When `turn` next has something to do."""
        return self._began + (PAGE_EVERY_S if self._chunks else LIFE_EVERY_S)

    def add(self, entry: Entry, chunk: Stored, from_ns: int) -> None:
        """A chunk is delivered; in order of sequence."""
        if not self._chunks:
            self._began = max(self._began, self.clock() - PAGE_EVERY_S)  # the first after a quiet time need not wait
        self._draft.add(entry, from_ns)
        self._chunks.append(chunk._replace(body=b""))
        self._pending += 1

    def skip(self, kind: str, events: int | None, chunk: Stored) -> None:
        """The sequences up to this one have no chunk any more."""
        self._draft.skip(kind, chunk.sequence, events)
        self._chunks.append(chunk)
        self._pending += 1

    def turn(self) -> bool:
        """Writes a page if one is due, and moves the cursor over what is in the ledger; false: there was no page."""
        if self._is_due():
            self._close_page()
        if not self._pages:
            return False
        self._send()
        self.settle()
        return True

    def settle(self) -> None:
        """Moves the cursor over the pages that Kafka has."""
        while self._pages and self._pages[0].confirmed:
            page = self._pages.popleft()
            self._pending -= len(page.chunks)
            self.trouble = ""
            for chunk in page.chunks:
                self.spool.delivered(chunk)

    def close(self) -> None:
        """Writes the last page; the caller flushes the producer and calls `settle`."""
        self._close_page(end=True)
        self._send()

    def produce_again(self) -> None:
        """The client has forgotten what it had not delivered."""
        for page in self._pages:
            page.sent = page.confirmed

    def _is_due(self) -> bool:
        draft = self._draft
        return (
            self._start
            or self.clock() >= self.next_due
            or draft.events >= PAGE_EVENTS
            or draft.size >= PAGE_FATES
            or len(self._chunks) >= PAGE_CHUNKS
        ) and (bool(self._chunks) or not self._pages)

    def _close_page(self, *, end: bool = False) -> None:
        page = self._draft.page(self.accumulator, self.incarnation, self.spool.next_sequence, time.time_ns())
        page.start, page.end = self._start, end
        self._pages.append(_Page(ledger.encode(page), self._chunks))
        self._draft, self._chunks = Draft(self._draft.last + 1), []
        self._start, self._began = False, self.clock()

    def _send(self) -> None:
        """In order; a page that Kafka has refused may come after its successors all the same."""
        for page in self._pages:
            if page.sent:
                continue
            if page.not_before > self.clock():
                return
            try:
                self.producer().produce(
                    self.topic,
                    page.value,
                    f"{self.accumulator}.{self.incarnation}",
                    on_delivery=partial(self._answered, page),
                )
            except BufferError:
                return
            except KafkaException as error:
                cause = error.args[0]
                self._answered(page, cause if isinstance(cause, KafkaError) else KafkaError(KafkaError._FAIL))
                return
            page.sent = True

    def _answered(self, page: _Page, error: KafkaError | None, _: Message | None = None) -> None:
        if error is None:
            page.confirmed = True
            return
        page.sent, page.not_before = False, self.clock() + RETRY_S
        if error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return
        if not self.trouble:
            log.error("Kafka does not take the ledger; trying again", topic=self.topic, error=error.str())
        self.trouble = f"Kafka does not take the ledger ({self.topic}): {error.str()}"
