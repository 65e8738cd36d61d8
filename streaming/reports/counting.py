"""Counts the log documents of a period in Elasticsearch.

A log belongs to the period in which it was written, by its own time (`@timestamp`): a report says what happened on a
day, and a client or accumulator that was cut off over midnight delivers yesterday's errors today. What bounds it is the
receive time (`event.created`), which is fixed once and for ever: counted is what was received before the period's
cut-off. So it does not matter when one counts, nor in which UTC day's indices the documents are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.canary import SERVICE as CANARY
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.query import Object, Op, Query, Term, to_elastic
from streaming.events.model import Json
from streaming.reports.model import ERROR_LEVELS, Tally
from streaming.reports.period import Period, Slot

SERVICES = 500
"""Of the most documents; 500 * 16 indices + what else = 9,000 buckets, of 65,535 that Elasticsearch makes."""

INDICES = 16
"""A week lies in 8 UTC days, two retention classes each."""

NODES = 25
"""Nodes with the most errors that a report lists."""

WITHIN_S = 120.0
"""Of one request. Five million documents took under 10 s on two cores that had other work."""

_ERRORS: Object = {"terms": {"log.level": list(ERROR_LEVELS)}}


class _Errors(msgspec.Struct):
    doc_count: int = 0


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int
    errors: _Errors = msgspec.field(default_factory=_Errors)
    indices: _Buckets | None = None
    services: _Buckets | None = None

    @property
    def tally(self) -> Tally:
        return Tally(self.doc_count, self.errors.doc_count)


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket] = []
    sum_other_doc_count: int = 0


class _Nodes(msgspec.Struct):
    nodes: _Buckets = msgspec.field(default_factory=_Buckets)


class _Aggregations(msgspec.Struct):
    all: _Errors = msgspec.field(default_factory=_Errors)
    errors: _Errors = msgspec.field(default_factory=_Errors)
    levels: _Buckets = msgspec.field(default_factory=_Buckets)
    services: _Buckets = msgspec.field(default_factory=_Buckets)
    slots: _Buckets = msgspec.field(default_factory=_Buckets)
    failing: _Nodes = msgspec.field(default_factory=_Nodes)
    nodes: _Buckets = msgspec.field(default_factory=_Buckets)


class _Answer(msgspec.Struct):
    aggregations: _Aggregations | None = None


NOTHING = Tally()


@dataclass(frozen=True)
class Counted:
    """What a period has. `slots` are in the order of `Period.slots()`; `in_index` are documents by service and index;
    the service of documents that name none is empty."""

    total: Tally = NOTHING
    levels: dict[str, int] = field(default_factory=dict)
    services: dict[str, Tally] = field(default_factory=dict)
    other_services: Tally = NOTHING
    slots: list[Tally] = field(default_factory=list)
    in_index: dict[str, dict[str, int]] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    """Nodes with the most errors, each with the service that most of these are of."""


class LogCounts:
    """Counts documents of an installation.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not answer this.
    """

    def __init__(self, connection: Connection, index_prefix: str) -> None:
        self._connection = connection
        self._path = f"/{quote(mapping.logs_pattern(index_prefix), safe='*')}/_search?ignore_unavailable=true"

    def count(self, period: Period, *, late: bool = False) -> Counted:
        """What was received before the cut-off, or `late` what was received since."""
        slots = period.slots()
        found = self._search(counted_query(period, late=late), _everything(slots))
        services = {bucket.key: bucket for bucket in found.services.buckets}
        total = Tally(found.all.doc_count, found.errors.doc_count)
        tallies = {name: bucket.tally for name, bucket in services.items()}
        others = found.services.sum_other_doc_count
        without = total.documents - others - sum(tally.documents for tally in tallies.values())
        unlisted = total.errors - sum(tally.errors for tally in tallies.values())
        if without:
            # Where there are more services than are listed, nobody says whose the unlisted errors are.
            tallies[""] = Tally(without, 0 if others else unlisted)
        return Counted(
            total,
            {bucket.key: bucket.doc_count for bucket in found.levels.buckets},
            tallies,
            Tally(others, unlisted if others else 0),
            [bucket.tally for bucket in found.slots.buckets],
            {
                name: {index.key: index.doc_count for index in bucket.indices.buckets}
                for name, bucket in services.items()
                if bucket.indices is not None
            },
            {bucket.key: _first(bucket.services) for bucket in found.failing.nodes.buckets},
        )

    def count_nodes(self, period: Period, names: Collection[str]) -> dict[str, Tally]:
        """Of these nodes, what was received before the cut-off."""
        if not names:
            return {}
        query = counted_query(period)
        filters: list[Json] = [to_elastic(query), {"terms": {"service.node.name": list(names)}}]
        aggregations: Object = {
            "nodes": {
                "terms": {"field": "service.node.name", "size": len(names)},
                "aggs": {"errors": {"filter": _ERRORS}},
            }
        }
        found = self._request({"bool": {"filter": filters}}, aggregations)
        return {bucket.key: bucket.tally for bucket in found.nodes.buckets}

    def elsewhere(self, period: Period) -> int:
        """Documents received in the period whose own time lies outside of it."""
        received: Object = {"gte": period.start_ms, "lt": period.end_ms, "format": "epoch_millis"}
        own = to_elastic(Query(since_ms=period.start_ms, until_ms=period.end_ms))
        clause: Object = {"bool": {"filter": [{"range": {"event.created": received}}], "must_not": [own]}}
        return self._request(clause, {"all": {"filter": {"match_all": {}}}}).all.doc_count

    def has_any(self, period: Period) -> bool:
        """Whether anything at all would be counted."""
        return self._search(counted_query(period), {"all": {"filter": {"match_all": {}}}}).all.doc_count > 0

    def _search(self, query: Query, aggregations: Object) -> _Aggregations:
        return self._request(to_elastic(query), aggregations)

    def _request(self, clause: Object, aggregations: Object) -> _Aggregations:
        body: Object = {"size": 0, "track_total_hits": False, "query": clause, "aggs": aggregations}
        answer = checked(self._connection.json("POST", self._path, body), "counting logs")
        return decoding.decode(answer.body, _Answer).aggregations or _Aggregations()


def counted_query(period: Period, *more: Term, late: bool = False) -> Query:
    """The documents that a report counts; of these, those that fit `more`. Canaries are no logs of anybody."""
    received = Term(Op.GTE if late else Op.LT, "event.created", (period.cutoff_ms,))
    canary = Term(Op.ONE_OF, "service.name", (CANARY,), negated=True)
    return Query((received, canary, *more), since_ms=period.start_ms, until_ms=period.end_ms)


def errors_only() -> Term:
    """That they are errors."""
    return Term(Op.ONE_OF, "log.level", ERROR_LEVELS)


def _everything(slots: Sequence[Slot]) -> Object:
    errors: Object = {"errors": {"filter": _ERRORS}}
    ranges: list[Json] = [{"key": f"{n:02d}", "from": slot.start_ms, "to": slot.end_ms} for n, slot in enumerate(slots)]
    return {
        "all": {"filter": {"match_all": {}}},
        "errors": {"filter": _ERRORS},
        "levels": {"terms": {"field": "log.level", "size": 10}},
        "services": {
            "terms": {"field": "service.name", "size": SERVICES},
            "aggs": errors | {"indices": {"terms": {"field": "_index", "size": INDICES}}},
        },
        "slots": {
            "date_range": {"field": "@timestamp", "format": "epoch_millis", "ranges": ranges},
            "aggs": errors,
        },
        "failing": {
            "filter": _ERRORS,
            "aggs": {
                "nodes": {
                    "terms": {"field": "service.node.name", "size": NODES},
                    "aggs": {"services": {"terms": {"field": "service.name", "size": 1}}},
                }
            },
        },
    }


def _first(buckets: _Buckets | None) -> str:
    return buckets.buckets[0].key if buckets and buckets.buckets else ""
