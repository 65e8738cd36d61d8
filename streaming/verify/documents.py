"""What a verification asks of Elasticsearch: documents in the order of their records, and single ones by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic.access import ElasticAccess
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.errors import Unavailable

PAGE = 10_000
"""Elasticsearch's own limit (index.max_result_window)."""
ASK_AT_ONCE = 1_000


class Place(NamedTuple):
    """A document by the offset of its record and the name of its event."""

    offset: int
    source: str


class Name(NamedTuple):
    """A document by its index (or an alias of that) and id."""

    where: str
    id: str


class Origin(NamedTuple):
    """A record by its place in Kafka."""

    topic: str
    partition: int
    offset: int


class _Hit(msgspec.Struct):
    sort: tuple[int, str]


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Shards(msgspec.Struct):
    failed: int = 0


class _Page(msgspec.Struct):
    hits: _Hits = msgspec.field(default_factory=_Hits)
    timed_out: bool = False
    shards: _Shards = msgspec.field(default_factory=_Shards, name="_shards")


class _Reason(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _Kafka(msgspec.Struct):
    topic: str = ""
    partition: int = -1
    offset: int = -1


class _Vigil(msgspec.Struct):
    kafka: _Kafka = msgspec.field(default_factory=_Kafka)


class _Source(msgspec.Struct):
    vigil: _Vigil = msgspec.field(default_factory=_Vigil)


class _Doc(msgspec.Struct):
    found: bool = False
    error: _Reason | None = None
    source: _Source | None = msgspec.field(default=None, name="_source")


class _Docs(msgspec.Struct):
    docs: list[_Doc]


_GONE = "index_not_found_exception"


class Documents:
    """Documents of some pattern of indices. A thread of its own fetches a page ahead.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not answer this.
    """

    def __init__(self, server: ElasticAccess | str, pattern: str) -> None:
        self._pages = Connection(server, timeout_s=60.0)
        self._single = Connection(server, timeout_s=60.0)
        self._path = (
            f"/{quote(pattern, safe='*')}/_search?ignore_unavailable=true&allow_partial_search_results=false"
            "&filter_path=hits.hits.sort,timed_out,_shards.failed"
        )
        self._refresh = f"/{quote(pattern, safe='*')}/_refresh?ignore_unavailable=true"
        self._ahead = ThreadPoolExecutor(1, "documents")

    def refresh(self) -> None:
        """Lets searches see what was indexed, and not what was deleted, before this."""
        checked(self._single.request("POST", self._refresh), "refreshing the documents")

    def close(self) -> None:
        """Disconnects."""
        self._ahead.shutdown(cancel_futures=True)
        self._pages.close()
        self._single.close()

    def of_partition(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Place]]:
        """All that a search finds of records `first` to before `end`, in pages, in order of offset.

        What was indexed since the last refresh may not be among them.
        """
        page = self._ahead.submit(self._page, topic, partition, end, Place(first - 1, ""))
        while True:
            found = page.result()
            if len(found) == PAGE:
                page = self._ahead.submit(self._page, topic, partition, end, found[-1])
            yield found
            if len(found) < PAGE:
                return

    def _page(self, topic: str, partition: int, end: int, after: Place) -> list[Place]:
        body = {
            "size": PAGE,
            "_source": False,
            "track_total_hits": False,
            "query": {
                "bool": {
                    "filter": [
                        {"term": {"vigil.kafka.topic": topic}},
                        {"term": {"vigil.kafka.partition": partition}},
                        {"range": {"vigil.kafka.offset": {"gte": max(0, after.offset), "lt": end}}},
                    ]
                }
            },
            # Two: after a topic was made anew, an offset may stand in two documents, each of another event.
            "sort": [
                {"vigil.kafka.offset": {"order": "asc", "unmapped_type": "long"}},
                {"vigil.source": {"order": "asc", "unmapped_type": "keyword", "missing": "_first"}},
            ],
            "search_after": list(after),
        }
        response = checked(self._pages.json("POST", self._path, body), "reading documents of a partition")
        page = decoding.decode(response.body, _Page, strict=False)
        if page.timed_out or page.shards.failed:
            raise Unavailable("Elasticsearch could not search all of its shards; `vigil status` shows it")
        return [Place(*hit.sort) for hit in page.hits.hits]

    def origins(self, names: Sequence[Name]) -> list[Origin | None]:
        """Of each document the record that it was made of, as of now: this does not wait for a refresh. None where
        there is no such document."""
        found: list[Origin | None] = []
        for start in range(0, len(names), ASK_AT_ONCE):
            docs = [{"_index": n.where, "_id": n.id} for n in names[start : start + ASK_AT_ONCE]]
            path = (
                "/_mget?realtime=true&_source_includes=vigil.kafka"
                "&filter_path=docs.found,docs.error.type,docs.error.reason,docs._source"
            )
            response = checked(self._single.json("POST", path, {"docs": docs}), "asking for documents")
            for doc in decoding.decode(response.body, _Docs).docs:
                if doc.error is not None and doc.error.type != _GONE:
                    raise Unavailable(f"Elasticsearch does not give a document: {doc.error.type}: {doc.error.reason}")
                found.append(_origin(doc) if doc.found else None)
        return found

    def with_sources(self, sources: Sequence[str]) -> set[str]:
        """Which of these events have a document, wherever its record lay."""
        found: set[str] = set()
        for start in range(0, len(sources), ASK_AT_ONCE):
            wanted = list(sources[start : start + ASK_AT_ONCE])
            body = {
                "size": PAGE,
                "_source": False,
                "track_total_hits": False,
                "query": {"terms": {"vigil.source": wanted}},
                "sort": [{"vigil.kafka.offset": "asc"}, {"vigil.source": "asc"}],
            }
            response = checked(self._single.json("POST", self._path, body), "looking for documents by their events")
            page = decoding.decode(response.body, _Page, strict=False)
            found.update(hit.sort[1] for hit in page.hits.hits)
        return found


def _origin(doc: _Doc) -> Origin:
    kafka = doc.source.vigil.kafka if doc.source else _Kafka()
    return Origin(kafka.topic, kafka.partition, kafka.offset)
