"""Logs from Elasticsearch: documents made events again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec

from streaming.elastic.connection import Connection
from streaming.elastic.query import Query, one_of
from streaming.elastic.search import LogSearch
from streaming.events.model import Json, LogEvent
from streaming.events.parse import parse
from streaming.events.times import time_of
from streaming.settings import Settings


class StoredLog(msgspec.Struct, frozen=True):
    """A log as a matcher would see it. `source` is its name for ever, `partition` where it lies in Kafka (0: unknown,
    or really 0); `received_ms` when it was received, `came_ms` when it came to where matchers read (0: not known, when
    it was received stands in)."""

    event: LogEvent
    received_ms: int
    source: str
    partition: int = 0
    came_ms: int = 0


def from_document(raw: bytes) -> StoredLog | None:
    """The log of an indexed document; None for one that no indexer wrote.

    Labels of nested objects come back flattened where they were indexed so; everything that rules can ask of is as it
    was.
    """
    document = msgspec.json.decode(raw)
    if not isinstance(document, dict):
        return None
    own = document.get("vigil")
    vigil: dict[str, Json] = own if isinstance(own, dict) else {}
    received_ns = _received_ns(document)
    event = parse(raw, received_ns=received_ns)
    if not isinstance(event, LogEvent):
        return None
    event.labels = {name: value for name, value in event.labels.items() if name not in ("event", "vigil")}
    event.dialect = str(vigil.get("dialect") or event.dialect)
    kafka = vigil.get("kafka")
    partition = kafka.get("partition") if isinstance(kafka, dict) else None
    source = str(vigil.get("source") or "")
    return StoredLog(event, received_ns // 1_000_000, source, partition if isinstance(partition, int) else 0)


def documents_of_log(settings: Settings, log_id: str, limit: int = 10) -> list[StoredLog]:
    """The logs of this `log_id`, or of this source (`accumulator.incarnation-sequence-position`), the latest first.

    Raises:
        Unavailable: Elasticsearch does not answer.
    """
    with closing(Connection(settings.elastic)) as connection:
        search = LogSearch(connection, settings.index_prefix)
        for field in ("log_id", "source"):
            found = search.find(Query(terms=(one_of(field, [log_id]),)), limit=limit, time_field="event.created")
            if found.hits:
                logs = (from_document(bytes(hit.raw)) for hit in found.hits)
                return [log for log in logs if log is not None]
    return []


def documents_between(settings: Settings, since_ms: int, until_ms: int) -> Iterator[StoredLog]:
    """Every log that was received between the two, in the order of receipt.

    Raises:
        Unavailable: Elasticsearch does not answer.
    """
    with closing(Connection(settings.elastic)) as connection:
        search = LogSearch(connection, settings.index_prefix)
        for hit in search.received(Query(since_ms=since_ms, until_ms=until_ms)):
            if (log := from_document(bytes(hit.raw))) is not None:
                yield log


def _received_ns(document: dict[str, Json]) -> int:
    event = document.get("event")
    created = event.get("created") if isinstance(event, dict) else None
    return time_of(created) or 0
