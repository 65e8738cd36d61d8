"""How much each node logs, as far as Elasticsearch has it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.errors import VigilError
from streaming.settings import Settings

NODES_COUNTED = 20_000
"""Those that log most; Elasticsearch refuses over 65,535."""

ANSWER_WITHIN_S = 3.0


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket]


class _Aggregations(msgspec.Struct):
    nodes: _Buckets | None = None


class _Answer(msgspec.Struct):
    aggregations: _Aggregations | None = None


def counted(settings: Settings, *conditions: Mapping[str, object], within_s: float) -> dict[str, int]:
    """Logs of each node that fulfil all of these conditions (Elasticsearch queries); a node without any is left out.

    Raises:
        Unavailable: Elasticsearch does not answer within that time.
        Refused: it will not answer this.
    """
    indices = mapping.logs_pattern(settings.index_prefix)
    request = {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": conditions}},
        "aggs": {"nodes": {"terms": {"field": "service.node.name", "size": NODES_COUNTED}}},
    }
    with closing(Connection(settings.elastic, within_s)) as connection:
        path = f"/{quote(indices, safe='*')}/_search?ignore_unavailable=true"
        answer = checked(connection.json("POST", path, request), f"counting logs of {indices}")
    found = decoding.decode(answer.body, _Answer).aggregations
    return {bucket.key: bucket.doc_count for bucket in found.nodes.buckets} if found and found.nodes else {}


def logs_a_minute(settings: Settings) -> dict[str, int] | None:
    """Logs that were received of each node in the last minute; None where Elasticsearch does not answer. It is asked
    for this alone, and nothing waits for it for long."""
    try:
        return counted(settings, {"range": {"event.created": {"gte": "now-1m"}}}, within_s=ANSWER_WITHIN_S)
    except (VigilError, msgspec.MsgspecError):
        return None
