"""The part of an indexer's process that makes the events of incidents and the changes of nodes documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from streaming.elastic.bulk import Outcome, Whole
from streaming.history.sending import Item, items_of, later_than_known, settle
from streaming.history.sources import SOURCES, Unreadable, read
from streaming.indexer.in_hand import InHandIndexer
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.logs import logger

log = logger(__name__)


class HistoryIndexer(InHandIndexer[Item]):
    """Topics `incident-events` and `node-status` to Elasticsearch; offsets are committed behind it.

    At least once, and each event is one document by its id: what a crash repeats answers "duplicate", and what is later
    is never overwritten by it.
    """

    name = "history-indexer"
    what = "events of incidents and nodes"
    most = 32
    """At most 600 KB each (`document.PAIRS_LIMIT`) are 19 MB, and 8 MB more are a request."""

    def __init__(self, settings: Settings, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._sources = {settings.topic(source.topic): source for source in SOURCES}
        super().__init__(settings, list(self._sources), clock_ns)

    def _read(self, messages: Sequence[Message]) -> list[Item]:
        found = []
        for message in messages:
            try:
                found.append(read(message, self._sources, self._settings.index_prefix, self._clock_ns()))
            except Unreadable as error:
                metrics.UNREADABLE.labels(self.name, "history").inc()
                log.error("event left unread", topic=message.topic(), offset=message.offset(), reason=str(error))
        return items_of(found)

    def _settle(self, sent: list[Item], outcomes: list[Outcome] | Whole | None) -> list[Item]:
        answered = settle(sent, outcomes)
        if answered.homeless:
            self._make_indices(answered.homeless)
        return [*answered.again, *later_than_known(self._elastic, answered.conflicts)]
