"""What Kibana may do with the fields of an index: search, sort, aggregate. Read off the mapping. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from streaming.elastic.mapping import Object


class Kind(StrEnum):
    """Kibana's own word for the type of a field; many types of Elasticsearch are one of these."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    UNKNOWN = "unknown"
    """Of no type that Lens offers: flattened objects."""


_KINDS = {
    "keyword": Kind.STRING,
    "text": Kind.STRING,
    "long": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "date": Kind.DATE,
    "date_nanos": Kind.DATE,
    "boolean": Kind.BOOLEAN,
}


@dataclass(frozen=True)
class Field:
    """A field as Kibana finds it by Elasticsearch's field capabilities."""

    name: str
    elastic: str
    """Its type in the mapping."""
    kind: Kind
    searchable: bool
    aggregatable: bool
    """Has doc values: it can be sorted by, counted by, and measured."""


Fields = Mapping[str, Field]
"""By name."""

METADATA = frozenset({"_id", "_index", "_source", "_score"})
"""Fields that every document has, whatever its mapping."""


def fields_of(properties: Object) -> dict[str, Field]:
    """The fields that a mapping's `properties` declare, by their whole names."""
    return {field.name: field for field in _flat(properties, "")}


def find(fields: Fields, name: str) -> Field | None:
    """A field by name, also what lies below a flattened one (`labels.team`), which no mapping names."""
    if name in fields:
        return fields[name]
    for parent in fields.values():
        if parent.elastic == "flattened" and name.startswith(f"{parent.name}."):
            return Field(name, "flattened", Kind.UNKNOWN, searchable=True, aggregatable=False)
    return None


def _flat(properties: Object, before: str) -> Iterator[Field]:
    for name, declared in properties.items():
        inner = cast(Object, declared)
        whole = before + name
        if "properties" in inner:
            yield from _flat(cast(Object, inner["properties"]), f"{whole}.")
            continue
        elastic = str(inner["type"])
        has_values = elastic not in ("text", "flattened") and inner.get("doc_values") is not False
        yield Field(
            whole,
            elastic,
            _KINDS.get(elastic, Kind.UNKNOWN),
            searchable=inner.get("index") is not False,
            aggregatable=has_values,
        )
