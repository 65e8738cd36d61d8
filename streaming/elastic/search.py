"""Reading log documents: pages by search_after, and following what arrives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.query import Object, Query, to_elastic
from streaming.events.model import Json

PAGE = 1_000
"""Hits per request: a page of usual documents is under 1 MB."""


class Hit(msgspec.Struct, rename={"index": "_index", "id": "_id", "raw": "_source"}):
    """One document. `sort` is its place in the order, for search_after."""

    index: str
    id: str
    raw: msgspec.Raw
    sort: list[str | int | None] = []

    @property
    def document(self) -> Object:
        """The document as it was indexed."""
        return cast(Object, msgspec.json.decode(self.raw))


class _Total(msgspec.Struct):
    value: int
    relation: str


class _Hits(msgspec.Struct):
    hits: list[Hit]
    total: _Total | None = None


class _Answer(msgspec.Struct):
    hits: _Hits


@dataclass(frozen=True)
class Found:
    """Hits in the order asked for, and how many match in all (`at_least`: there are more than were counted)."""

    hits: list[Hit]
    total: int
    at_least: bool


class LogSearch:
    """Searches all log indices of an installation.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not answer this.
    """

    def __init__(self, connection: Connection, index_prefix: str) -> None:
        self._connection = connection
        # Missing indices are not an error: before the first log there are none.
        self._path = f"/{quote(mapping.logs_pattern(index_prefix), safe='*')}/_search?ignore_unavailable=true"

    def find(
        self, query: Query, *, limit: int, order: Literal["asc", "desc"] = "desc", time_field: str = "@timestamp"
    ) -> Found:
        """The first `limit` by `time_field`; what has the same time is in the order it has in Kafka."""
        hits: list[Hit] = []
        total: _Total | None = None
        clause = to_elastic(query, time_field=time_field)
        while len(hits) < limit:
            page = self._page(clause, time_field, order, min(PAGE, limit - len(hits)), hits[-1].sort if hits else None)
            total = total or page.total
            hits += page.hits
            if len(page.hits) < PAGE:
                break
        return Found(hits, total.value if total else 0, total is not None and total.relation != "eq")

    def arrived(self, query: Query, since_ms: int) -> Iterator[Hit]:
        """All that match and were indexed at `since_ms` or later, in that order."""
        clause: Object = {
            "bool": {
                "filter": [
                    to_elastic(query),
                    {"range": {"event.ingested": {"gte": since_ms, "format": "epoch_millis"}}},
                ]
            }
        }
        return self._all(clause, "event.ingested")

    def received(self, query: Query) -> Iterator[Hit]:
        """All that match, in the order of receipt; the times of the query are times of receipt."""
        return self._all(to_elastic(query, time_field="event.created"), "event.created")

    def _all(self, clause: Object, time_field: str) -> Iterator[Hit]:
        after: list[str | int | None] | None = None
        while True:
            page = self._page(clause, time_field, "asc", PAGE, after)
            yield from page.hits
            if len(page.hits) < PAGE:
                return
            after = page.hits[-1].sort

    def _page(
        self, clause: Object, time_field: str, order: str, size: int, after: list[str | int | None] | None
    ) -> _Hits:
        body: Object = {
            "size": size,
            "query": clause,
            "sort": [
                # As text: a number of nanoseconds would lose its last digits in JSON readers, and with them its place.
                {time_field: {"order": order, "format": "strict_date_optional_time_nanos", "missing": "_last"}},
                {"vigil.kafka.partition": order},
                {"vigil.kafka.offset": order},
            ],
        }
        if after is not None:
            body["search_after"] = cast(list[Json], after)
            body["track_total_hits"] = False
        response = checked(self._connection.json("POST", self._path, body), "searching")
        return decoding.decode(response.body, _Answer).hits


OVERLAP_MS = 5_000
"""How far back each look of a `Follower` reaches: a document shows up to 1 s (refresh) after its time of indexing,
plus the bulk request's own time; 5 s leave room for a busy server."""

REMEMBERED = 100_000
"""Ids kept so that nothing shows twice within the overlap: 20,000 documents/s."""


@dataclass
class Follower:
    """Shows what arrives, each document once. What a retry delays by more than `OVERLAP_MS` is not shown."""

    search: LogSearch
    query: Query
    since_ms: int
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def look(self, now_ms: int) -> Iterator[Hit]:
        """What has arrived since the last look, in order."""
        for hit in self.search.arrived(self.query, self.since_ms):
            if hit.id not in self._seen:
                self._seen[hit.id] = None
                yield hit
        self.since_ms = max(self.since_ms, now_ms - OVERLAP_MS)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
