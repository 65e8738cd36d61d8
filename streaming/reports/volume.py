"""What the documents of each service take in Elasticsearch, and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.reports.model import Tally, VolumeLine

GB = 1_000_000_000

LISTED = 50
"""Services; the others are one line."""

OTHERS = "(others)"


@dataclass(frozen=True)
class IndexSize:
    """Of an index: documents, and bytes with all its copies."""

    documents: int
    bytes: int


class _Index(msgspec.Struct):
    index: str
    documents: str | None = msgspec.field(name="docs.count", default=None)
    store: str | None = msgspec.field(name="store.size", default=None)


def index_sizes(connection: Connection, index_prefix: str) -> dict[str, IndexSize]:
    """Of every log index.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or not this.
    """
    pattern = quote(mapping.logs_pattern(index_prefix), safe="*")
    path = f"/_cat/indices/{pattern}?format=json&bytes=b&h=index,docs.count,store.size"
    rows = decoding.decode(checked(connection.request("GET", path), "measuring indices").body, list[_Index])
    return {row.index: IndexSize(int(row.documents or 0), int(row.store or 0)) for row in rows}


def volume_lines(
    services: Mapping[str, Tally],
    in_index: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, IndexSize],
    price_per_gb: float,
) -> list[VolumeLine]:
    """The largest first. A document takes what the documents of its index take in the middle: Elasticsearch does not
    know the size of one, and within an index they are alike enough to see who fills it."""
    found = []
    for service, tally in services.items():
        shares = in_index.get(service) or {}
        taken = sum(_bytes(sizes.get(index), documents) for index, documents in shares.items())
        found.append((service, tally.documents, taken))
    found.sort(key=lambda line: (-line[2], -line[1], line[0]))
    rest = found[LISTED:]
    if rest:
        found = [*found[:LISTED], (OTHERS, sum(line[1] for line in rest), sum(line[2] for line in rest))]
    return [
        VolumeLine(
            service=service,
            documents=documents,
            bytes=round(taken),
            cost=taken / GB * price_per_gb if price_per_gb else None,
        )
        for service, documents, taken in found
        if documents
    ]


def _bytes(size: IndexSize | None, documents: int) -> float:
    return size.bytes / size.documents * documents if size and size.documents else 0.0
