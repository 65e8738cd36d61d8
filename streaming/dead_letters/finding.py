"""Which dead letters are meant, and their documents in Elasticsearch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.dead_letters.document import document_id
from streaming.dead_letters.letters import DeadLetter, Place
from streaming.elastic import mapping
from streaming.elastic.connection import NDJSON, Connection
from streaming.elastic.ensure import checked
from streaming.elastic.search import Hit
from streaming.events.ecs import date_text
from streaming.events.model import Json

Object = dict[str, Json]

PAGE = 1_000
"""Documents a request, without their originals: under 1 MB."""

MARKS = 1_000
"""Documents marked a request."""

_LARGE = "_source_excludes=event.original,dead_letter.base64"


@dataclass(frozen=True)
class Selection:
    """Conditions that must all hold; an empty one holds for every letter. `reasons` may end in `*`."""

    reasons: Sequence[str] = ()
    since_ms: int | None = None
    topics: Sequence[str] = ()
    """Of the original records, as Kafka calls them."""
    ids: Sequence[str] = ()
    until_ms: int | None = None
    """Appended before."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or any(_fits(letter.reason, wanted) for wanted in self.reasons))
            and (self.since_ms is None or letter.appended_ms >= self.since_ms)
            and (self.until_ms is None or letter.appended_ms < self.until_ms)
            and (not self.topics or letter.source_topic in self.topics)
            and (not self.ids or document_id(letter) in self.ids)
        )

    def to_elastic(self) -> Object:
        """The same as a query."""
        must: list[Json] = []
        if self.reasons:
            each: list[Json] = [
                {"prefix": {"dead_letter.reason": reason[:-1]}}
                if reason.endswith("*")
                else {"term": {"dead_letter.reason": reason}}
                for reason in self.reasons
            ]
            must.append({"bool": {"should": each}})
        if self.since_ms is not None:
            must.append({"range": {"@timestamp": {"gte": self.since_ms, "format": "epoch_millis"}}})
        if self.until_ms is not None:
            must.append({"range": {"@timestamp": {"lt": self.until_ms, "format": "epoch_millis"}}})
        if self.topics:
            must.append({"terms": {"dead_letter.topic": list(self.topics)}})
        if self.ids:
            must.append({"ids": {"values": list(self.ids)}})
        return {"bool": {"filter": must}} if must else {"match_all": {}}


def _fits(reason: str, wanted: str) -> bool:
    return reason.startswith(wanted[:-1]) if wanted.endswith("*") else reason == wanted


class Found(Hit):
    """One document of a dead letter; `raw` without the original, unless it was asked for by id."""

    @property
    def place(self) -> Place:
        """Where the letter lies in Kafka."""
        kafka = decoding.decode(self.raw, _Placed).vigil.kafka
        return Place(kafka.partition, kafka.offset)

    @property
    def replayed(self) -> bool:
        """Whether the document says that the letter was replayed."""
        return decoding.decode(self.raw, _Placed).vigil.replayed_at is not None


class _Kafka(msgspec.Struct):
    partition: int
    offset: int


class _Vigil(msgspec.Struct):
    kafka: _Kafka
    replayed_at: str | None = None


class _Placed(msgspec.Struct):
    vigil: _Vigil


class _Total(msgspec.Struct):
    value: int


class _Hits(msgspec.Struct):
    hits: list[Found]
    total: _Total | None = None


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket] = []
    sum_other_doc_count: int = 0


class _Aggregations(msgspec.Struct):
    reasons: _Buckets


class _Answer(msgspec.Struct):
    hits: _Hits
    aggregations: _Aggregations | None = None


class _Status(msgspec.Struct):
    status: int


class _Updated(msgspec.Struct):
    update: _Status


class _BulkAnswer(msgspec.Struct):
    items: list[_Updated]


class DeadLetterSearch:
    """Searches the indices of dead letters of an installation, and marks what was replayed.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not answer this.
    """

    def __init__(self, connection: Connection, index_prefix: str) -> None:
        self._connection = connection
        pattern = quote(mapping.dead_letters_pattern(index_prefix), safe="*")
        self._pattern = pattern
        self._path = f"/{pattern}/_search?ignore_unavailable=true"

    def latest(self, selection: Selection, limit: int) -> list[Found]:
        """The newest that are meant, at most `limit`, the newest first."""
        found: list[Found] = []
        while len(found) < limit:
            page = self._page(selection, min(PAGE, limit - len(found)), "desc", found[-1].sort if found else None)
            found += page
            if len(page) < PAGE:
                break
        return found

    def all(self, selection: Selection) -> Iterator[Found]:
        """All that are meant, in the order of their places in Kafka."""
        after: list[str | int | None] | None = None
        while page := self._page(selection, PAGE, "asc", after):
            yield from page
            after = page[-1].sort

    def counts(self, selection: Selection, *, replayed_too: bool = False) -> Counter[str]:
        """How many are meant (and were not replayed), by reason (the most frequent 1,000)."""
        unsent: list[Json] = [] if replayed_too else [{"exists": {"field": "vigil.replayed_at"}}]
        body: Object = {
            "size": 0,
            "query": {"bool": {"filter": [selection.to_elastic()], "must_not": unsent}},
            "aggs": {"reasons": {"terms": {"field": "dead_letter.reason", "size": 1_000}}},
        }
        answer = self._ask(body)
        buckets = answer.aggregations.reasons.buckets if answer.aggregations else []
        return Counter({bucket.key: bucket.doc_count for bucket in buckets})

    def one(self, document_id: str) -> Found | None:
        """The document of this id, with the original; of two (see document.py) the newer."""
        query: Object = {"ids": {"values": [document_id]}}
        hits = self._ask({"size": 1, "query": query, "sort": [{"@timestamp": "desc"}]}, "").hits.hits
        return hits[0] if hits else None

    def refresh(self) -> None:
        """Makes what was indexed until now visible to searches."""
        checked(self._connection.request("POST", f"/{self._pattern}/_refresh?ignore_unavailable=true"), "refreshing")

    def mark(self, replayed: Iterable[tuple[str, str, str, int]]) -> set[str]:
        """Writes into documents (index, id, replay id, time in ms) that they were replayed; the ids that took it.

        A document that is not there (not yet indexed, or deleted with its day) takes none.
        """
        wanted = list(replayed)
        marked: set[str] = set()
        for start in range(0, len(wanted), MARKS):
            part = wanted[start : start + MARKS]
            lines = [
                line
                for index, document_id, replay_id, at_ms in part
                for line in (
                    msgspec.json.encode({"update": {"_index": index, "_id": document_id, "retry_on_conflict": 3}}),
                    msgspec.json.encode(
                        {"doc": {"vigil": {"replayed_at": date_text(at_ms * 1_000_000), "replayed_by": replay_id}}}
                    ),
                )
            ]
            body = b"\n".join(lines) + b"\n"
            response = checked(
                self._connection.request("POST", "/_bulk?filter_path=items.*.status", body, NDJSON), "marking"
            )
            statuses = [item.update.status for item in decoding.decode(response.body, _BulkAnswer).items]
            marked |= {entry[1] for entry, status in zip(part, statuses, strict=True) if status < 400}
        return marked

    def _page(self, selection: Selection, size: int, order: str, after: list[str | int | None] | None) -> list[Found]:
        body: Object = {
            "size": size,
            "query": selection.to_elastic(),
            "sort": [
                {"vigil.kafka.partition": order},
                {"vigil.kafka.offset": order},
                # Only after a topic was made anew do two letters have one place.
                {"@timestamp": {"order": order, "format": "strict_date_optional_time_nanos"}},
            ],
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = cast(list[Json], after)
        return self._ask(body).hits.hits

    def _ask(self, body: Object, parameters: str = f"&{_LARGE}") -> _Answer:
        response = checked(self._connection.json("POST", self._path + parameters, body), "searching dead letters")
        return decoding.decode(response.body, _Answer)
