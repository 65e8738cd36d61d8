"""Data views: saved objects of type `index-pattern`."""

from __future__ import annotations

from infra.kibana.stored.base import UNSET, Stored, Unset


class FormatParams(Stored, frozen=True, kw_only=True):
    """Parameters of the formats that are allowed here."""

    pattern: str | Unset = UNSET
    input_format: str | Unset = UNSET
    output_format: str | Unset = UNSET
    output_precision: int | Unset = UNSET
    show_suffix: bool | Unset = UNSET
    use_short_suffix: bool | Unset = UNSET
    include_space_with_suffix: bool | Unset = UNSET


class FieldFormat(Stored, frozen=True, kw_only=True):
    """How values of a field are shown; which ids are allowed, `checking.fields` says."""

    id: str
    params: FormatParams = FormatParams()


class FieldAttributes(Stored, frozen=True, kw_only=True):
    """What people may say of a field: another name for it; Kibana itself counts how often it is used."""

    custom_label: str | Unset = UNSET
    custom_description: str | Unset = UNSET
    count: int | Unset = UNSET


class SourceFilter(Stored, frozen=True, kw_only=True):
    """Name of a field that Discover does not show."""

    value: str
    client_id: str | int | Unset = UNSET


class DataViewAttributes(Stored, frozen=True, kw_only=True):
    """JSON within JSON, as Kibana has it: formats (`dict[str, FieldFormat]`), attributes of fields
    (`dict[str, FieldAttributes]`), source filters (`list[SourceFilter]`). Runtime fields and scripted fields are code
    that Elasticsearch runs: there are none."""

    title: str
    """The pattern of the indices' names."""
    name: str
    """What people see."""
    time_field_name: str | Unset = UNSET
    """Without one, a time range narrows nothing of it."""
    field_format_map: str
    source_filters: str = "[]"
    field_attrs: str = "{}"
    runtime_field_map: str = "{}"
    fields: str = "[]"
    type_meta: str | Unset = UNSET
    allow_hidden: bool = False
