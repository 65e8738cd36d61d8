"""Which templates the logs of a time range have: counts from Elasticsearch, joined with the map of templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.query import Object, Query, to_elastic
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.settings import Settings
from streaming.templates.messages import SUMMARY_KEY, Placed, Shape, Summary

FIELD = "vigil.fingerprint"

SHAPES_COUNTED = 5_000
"""The most frequent ones. 5,000 * (1 + 6 levels + 3 services) = 50,000 buckets; Elasticsearch refuses over 65,535."""

LEVELS, SERVICES = 6, 3


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket]


class _Value(msgspec.Struct):
    value: float | None


class _ShapeBucket(msgspec.Struct):
    key: str
    doc_count: int
    levels: _Buckets
    services: _Buckets
    first: _Value
    last: _Value


class _Shapes(msgspec.Struct):
    buckets: list[_ShapeBucket]
    sum_other_doc_count: int


class _Aggregations(msgspec.Struct):
    shapes: _Shapes | None = None


class _Answer(msgspec.Struct):
    aggregations: _Aggregations | None = None


@dataclass(frozen=True)
class ShapeCount:
    """Documents of one fingerprint; times in milliseconds since the epoch."""

    fingerprint: str
    count: int
    levels: dict[str, int]
    services: dict[str, int]
    first_ms: int
    last_ms: int


@dataclass(frozen=True)
class Counts:
    """The most frequent shapes, and how many documents are of rarer ones."""

    shapes: list[ShapeCount]
    of_rarer_shapes: int


@dataclass(frozen=True)
class Map:
    """The map of templates as it is published now, by fingerprint."""

    placed: dict[str, Placed]
    examples: dict[str, str]
    summary: Summary | None


@dataclass
class TemplateCount:
    """Documents of one template. `template` is empty for those whose shape is in no map (yet, or for want of room)."""

    template: str
    text: str
    example: str
    known_since_ms: int | None
    """When a message of it was first received, in this range or before."""
    count: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)
    first_ms: int = 0
    last_ms: int = 0
    fingerprints: list[str] = field(default_factory=list)

    def add(self, shape: ShapeCount) -> None:
        """Counts a shape in."""
        self.first_ms = min(self.first_ms, shape.first_ms) if self.count else shape.first_ms
        self.last_ms = max(self.last_ms, shape.last_ms)
        self.count += shape.count
        self.levels.update(shape.levels)
        self.services.update(shape.services)
        self.fingerprints.append(shape.fingerprint)


def count_shapes(connection: Connection, index_prefix: str, query: Query) -> Counts:
    """Counts the documents that match by fingerprint, the most frequent first.

    Raises:
        Unavailable: Elasticsearch does not answer.
        Refused: it will not answer this.
    """
    path = f"/{quote(mapping.logs_pattern(index_prefix), safe='*')}/_search?ignore_unavailable=true"
    response = checked(connection.json("POST", path, _request(query)), "counting by template")
    found = decoding.decode(response.body, _Answer).aggregations
    if found is None or found.shapes is None:
        return Counts([], 0)
    return Counts([_shape_count(bucket) for bucket in found.shapes.buckets], found.shapes.sum_other_doc_count)


def read_map(settings: Settings) -> Map:
    """The map as it is in Kafka.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there.
    """
    published = read_all(settings, topics.TEMPLATES)
    summary = {SUMMARY_KEY: published.pop(SUMMARY_KEY)} if SUMMARY_KEY in published else {}
    placed = readable(published, Placed, topics.TEMPLATES, "vigil")
    shapes = readable(read_all(settings, topics.FINGERPRINTS), Shape, topics.FINGERPRINTS, "vigil")
    return Map(
        {key.decode("utf-8", "replace"): value for key, value in placed.items()},
        {key.decode("utf-8", "replace"): value.example for key, value in shapes.items()},
        readable(summary, Summary, topics.TEMPLATES, "vigil").get(SUMMARY_KEY),
    )


def join(shapes: Iterable[ShapeCount], known: Map) -> list[TemplateCount]:
    """The templates of these shapes, the most frequent first."""
    since = _known_since(known.placed)
    found: dict[str, TemplateCount] = {}
    for shape in shapes:
        placed = known.placed.get(shape.fingerprint)
        name = "" if placed is None else placed.template
        if name not in found:
            text = "" if placed is None else placed.text
            found[name] = TemplateCount(name, text, known.examples.get(shape.fingerprint, ""), since.get(name))
        found[name].add(shape)
    return sorted(found.values(), key=lambda template: (-template.count, template.text))


def _known_since(placed: Mapping[str, Placed]) -> dict[str, int]:
    since: dict[str, int] = {}
    for entry in placed.values():
        since[entry.template] = min(since.get(entry.template, entry.first_seen_ms), entry.first_seen_ms)
    return since


def _request(query: Query) -> Object:
    return {
        "size": 0,
        "track_total_hits": False,
        "query": to_elastic(query),
        "aggs": {
            "shapes": {
                "terms": {"field": FIELD, "size": SHAPES_COUNTED},
                "aggs": {
                    "levels": {"terms": {"field": "log.level", "size": LEVELS}},
                    "services": {"terms": {"field": "service.name", "size": SERVICES}},
                    "first": {"min": {"field": "@timestamp"}},
                    "last": {"max": {"field": "@timestamp"}},
                },
            }
        },
    }


def _shape_count(bucket: _ShapeBucket) -> ShapeCount:
    return ShapeCount(
        bucket.key,
        bucket.doc_count,
        {level.key: level.doc_count for level in bucket.levels.buckets},
        {service.key: service.doc_count for service in bucket.services.buckets},
        int(bucket.first.value or 0),
        int(bucket.last.value or 0),
    )
