"""Saved objects as lines of an export (NDJSON): written, and read back strictly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from infra.kibana.stored.base import UNSET, Reference, Stored, Unset
from infra.kibana.stored.dashboard import DashboardAttributes
from infra.kibana.stored.data_view import DataViewAttributes
from infra.kibana.stored.lens import LensAttributes, Number, Table, Xy
from infra.kibana.stored.search import SearchAttributes
from streaming import decoding
from streaming.errors import VigilError

CORE_VERSION = "8.8.0"
"""The last change of what all objects have in common; Kibana 9 still writes it."""

TYPE_VERSIONS = {"index-pattern": "8.0.0", "search": "10.5.0", "lens": "8.9.0", "dashboard": "10.2.0"}
"""The form of each type that Kibana 9.0 writes (10.N.0: model version N). Later releases bring objects of a lower
version to their own form when they import, and none imports one of a higher: so the lowest of 9.x is written. In this
order objects are exported: what is referred to comes first."""

DATA_VIEW, SEARCH, LENS, DASHBOARD = TYPE_VERSIONS

Chart = LensAttributes[Xy] | LensAttributes[Number] | LensAttributes[Table]
Attributes = DataViewAttributes | SearchAttributes | Chart | DashboardAttributes

_CHARTS: dict[str, object] = {
    "lnsXY": LensAttributes[Xy],
    "lnsMetric": LensAttributes[Number],
    "lnsDatatable": LensAttributes[Table],
}


class SavedObject(Stored, frozen=True, kw_only=True):
    """One line of an export."""

    type: str
    id: str
    attributes: Attributes
    references: tuple[Reference, ...]
    type_migration_version: str
    core_migration_version: str = CORE_VERSION
    managed: bool = False

    @property
    def title(self) -> str:
        """What people see; a data view's is its name."""
        held = self.attributes
        return held.name if isinstance(held, DataViewAttributes) else held.title

    @property
    def key(self) -> str:
        """`TYPE:ID`, which is unique."""
        return f"{self.type}:{self.id}"


class Unfit(VigilError):
    """A line, an object or JSON within an object that is not of Kibana 9's form; the text says where and why."""


def made(kind: str, object_id: str, attributes: Attributes, references: Iterable[Reference]) -> SavedObject:
    """An object of this type in the form that is written."""
    return SavedObject(
        type=kind,
        id=object_id,
        attributes=attributes,
        references=tuple(references),
        type_migration_version=TYPE_VERSIONS[kind],
    )


class _Details(msgspec.Struct, rename="camel"):
    """The last line of an export."""

    exported_count: int
    excluded_objects: tuple[()] = ()
    excluded_objects_count: int = 0
    missing_ref_count: int = 0
    missing_references: tuple[()] = ()


def to_ndjson(objects: Iterable[SavedObject]) -> bytes:
    """An export of these, the same bytes for the same objects."""
    order = list(TYPE_VERSIONS)
    lines = sorted(objects, key=lambda o: (order.index(o.type), o.id))
    encoded = [msgspec.json.encode(line, order="sorted") for line in lines]
    encoded.append(msgspec.json.encode(_Details(len(lines)), order="sorted"))
    return b"".join(line + b"\n" for line in encoded)


class _Line(Stored, frozen=True, kw_only=True):
    """A line as it is read: attributes are decoded when the type is known."""

    type: str
    id: str
    attributes: msgspec.Raw
    references: tuple[Reference, ...] = ()
    type_migration_version: str = ""
    core_migration_version: str = ""
    managed: bool = False
    # What Kibana adds to its exports and does not need back.
    created_at: str | Unset = msgspec.field(name="created_at", default=UNSET)
    created_by: str | Unset = msgspec.field(name="created_by", default=UNSET)
    updated_at: str | Unset = msgspec.field(name="updated_at", default=UNSET)
    updated_by: str | Unset = msgspec.field(name="updated_by", default=UNSET)
    version: str | Unset = UNSET
    namespaces: tuple[str, ...] | Unset = UNSET
    origin_id: str | Unset = UNSET


class _Peek(msgspec.Struct, rename="camel"):
    """Just enough of a line to know what it is."""

    exported_count: int | None = None
    visualization_type: str = ""


def read_ndjson(raw: bytes) -> list[SavedObject]:
    """Reads an export strictly: an attribute that is not known here, or of another type, is refused.

    Raises:
        Unfit: a line is no such object, or lines are missing at the end.
    """
    found: list[SavedObject] = []
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        counted = decode(line, _Peek, where).exported_count
        if counted is None:
            found.append(_object(decode(line, _Line, where), where))
        elif counted != len(found):
            raise Unfit(f"{where}: {counted} objects were exported, and {len(found)} lines are here")
    return found


T = TypeVar("T")


def decode(raw: bytes | str, kind: type[T], where: str) -> T:
    """JSON into this structure.

    Raises:
        Unfit: it is not of that shape; the text begins with `where` and names the attribute.
    """
    try:
        return decoding.decode(raw, kind)
    except msgspec.DecodeError as error:
        raise Unfit(f"{where}: {error}") from error


def _object(line: _Line, where: str) -> SavedObject:
    where = f"{where}, {line.type} {line.id!r}"
    return SavedObject(
        type=line.type,
        id=line.id,
        attributes=_attributes(line, where),
        references=line.references,
        type_migration_version=line.type_migration_version,
        core_migration_version=line.core_migration_version,
        managed=line.managed,
    )


def _attributes(line: _Line, where: str) -> Attributes:
    raw = bytes(line.attributes)
    if line.type == DATA_VIEW:
        return decode(raw, DataViewAttributes, where)
    if line.type == SEARCH:
        return decode(raw, SearchAttributes, where)
    if line.type == DASHBOARD:
        return decode(raw, DashboardAttributes, where)
    if line.type != LENS:
        raise Unfit(f"{where}: a type that is not made here; there are: {', '.join(TYPE_VERSIONS)}")
    chart = decode(raw, _Peek, where).visualization_type
    if chart not in _CHARTS:
        raise Unfit(f"{where}: no chart {chart!r}; there are: {', '.join(_CHARTS)}")
    try:
        found: Chart = decoding.decode(raw, _CHARTS[chart])
    except msgspec.DecodeError as error:
        raise Unfit(f"{where}: {error}") from error
    return found


def by_key(objects: Sequence[SavedObject]) -> dict[str, SavedObject]:
    """Objects by `TYPE:ID`."""
    return {one.key: one for one in objects}
