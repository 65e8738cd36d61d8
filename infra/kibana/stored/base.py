"""What all stored structures share, and the small ones that several types hold."""

from __future__ import annotations

from typing import Literal

import msgspec


class Stored(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Names are Kibana's in camel case; a name that is not declared is refused when read; what is UNSET is left out."""


Unset = msgspec.UnsetType
UNSET = msgspec.UNSET


class Empty(Stored, frozen=True, kw_only=True):
    """An object in which nothing may stand."""


class Reference(Stored, frozen=True, kw_only=True):
    """From one object to another. What refers to it in the attributes says `name`, never `id`, which Kibana may change
    when it imports."""

    id: str
    name: str
    type: str


class Kql(Stored, frozen=True, kw_only=True):
    """A query as it stands in a search, chart or dashboard."""

    query: str = ""
    language: Literal["kuery"] = "kuery"


class SearchSource(Stored, frozen=True, kw_only=True):
    """`searchSourceJSON` of a search or dashboard. Filters of the filter bar are not used: a query says the same, and
    can be read."""

    query: Kql
    filter: tuple[()] = ()
    index_ref_name: str | Unset = UNSET
    """Name of the reference to the data view; a dashboard has none."""
    highlight_all: bool | Unset = UNSET
    version: bool | Unset = UNSET


class SearchMeta(Stored, frozen=True, kw_only=True):
    """`kibanaSavedObjectMeta`: JSON within JSON."""

    source: str = msgspec.field(name="searchSourceJSON")


class TimeRange(Stored, frozen=True, kw_only=True):
    """From and to, in Kibana's date mathematics (`now-1h`)."""

    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to", default="now")


class RefreshInterval(Stored, frozen=True, kw_only=True):
    """How often what is shown is asked for again, in ms."""

    pause: bool
    value: int


INDEX_REFERENCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
"""The name by which Kibana itself calls a search's reference to its data view."""


def text(value: object) -> str:
    """JSON within JSON, the same for the same value."""
    return msgspec.json.encode(value, order="sorted").decode()
