"""Documents of one index, in pages, as items for another."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked

PAGE = 2_000
"""Hits a request: 3 MB of usual documents; Elasticsearch allows 10,000."""
KEEP_ALIVE = "5m"
"""Between two pages; a page is written within seconds."""


class _Hit(msgspec.Struct, rename={"id": "_id", "raw": "_source"}):
    id: str
    raw: msgspec.Raw
    sort: list[int]


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Answer(msgspec.Struct):
    hits: _Hits
    pit_id: str


class _Opened(msgspec.Struct):
    id: str


class _SequenceNumbers(msgspec.Struct):
    max_seq_no: int


class _Shard(msgspec.Struct):
    seq_no: _SequenceNumbers


class _Shards(msgspec.Struct):
    shards: dict[str, list[_Shard]]


class _Stats(msgspec.Struct):
    indices: dict[str, _Shards]


def written_up_to(connection: Connection, index: str) -> int:
    """A sequence number that every later write to the index is above, in whichever shard.

    Elasticsearch numbers the writes of each shard; times would not do, since an indexer may write a document long
    after it has stamped it.
    """
    path = f"/{quote(index)}/_stats?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no"
    answer = checked(connection.request("GET", path), f"reading how far {index} is written").body
    shards = decoding.decode(answer, _Stats).indices[index].shards.values()
    return min(copy.seq_no.max_seq_no for copies in shards for copy in copies)


def items_of(connection: Connection, source: str, target: str, above: int | None = None) -> Iterator[list[bytes]]:
    """Pages of all documents of `source` as they are now (of those written above a sequence number), as `create`s
    of `target` under their own ids.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or not this.
    """
    path = f"/{quote(source)}/_pit?keep_alive={KEEP_ALIVE}"
    opened = checked(connection.request("POST", path), f"reading {source}").body
    pit = decoding.decode(opened, _Opened).id
    query: dict[str, object] = {"match_all": {}}
    if above is not None:
        query = {"range": {"_seq_no": {"gt": above}}}
    line, after = bulk.create_line(target), None
    try:
        while True:
            body: dict[str, object] = {
                "size": PAGE,
                "query": query,
                "pit": {"id": pit, "keep_alive": KEEP_ALIVE},
                "sort": [{"_shard_doc": "asc"}],
                "track_total_hits": False,
            }
            if after is not None:
                body["search_after"] = after
            answer = checked(connection.json("POST", "/_search", body), f"reading {source}").body
            page = decoding.decode(answer, _Answer)
            hits, pit = page.hits.hits, page.pit_id
            if hits:
                yield [bulk.item(line, hit.id.encode(), bytes(hit.raw)) for hit in hits]
                after = hits[-1].sort
            if len(hits) < PAGE:
                return
    finally:
        connection.json("DELETE", "/_pit", {"id": pit})
