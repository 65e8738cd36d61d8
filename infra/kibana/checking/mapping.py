"""Objects against the mapping: no field that is not there, and none asked for what its type cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from infra.kibana import kql
from infra.kibana.checking.problems import Problem, problem
from infra.kibana.fields import METADATA, Field, Fields, Kind, find
from infra.kibana.indices import Index
from infra.kibana.stored.base import Reference
from infra.kibana.stored.dashboard import DashboardAttributes, control_reference
from infra.kibana.stored.data_view import DataViewAttributes
from infra.kibana.stored.lens_columns import (
    RECORDS,
    Average,
    Column,
    Count,
    DateHistogram,
    Filters,
    LensColumn,
    Maximum,
    Median,
    Minimum,
    Percentile,
    Sum,
    Terms,
)
from infra.kibana.stored.objects import DATA_VIEW, Chart, SavedObject, Unfit, by_key
from infra.kibana.stored.opened import controls_of, formats_of, hidden_of, names_of, source_of
from infra.kibana.stored.search import SearchAttributes

SAFE_FORMATS = {"number", "bytes", "duration", "percent"}
"""Formats that show numbers. Not `url`, which makes links and pictures of values, not `html`, `color` or `string`
templates: values are log text, and anyone may have written them."""

NUMBERS_ONLY = (Sum, Average, Median, Percentile)


def problems_of_mapping(objects: Sequence[SavedObject], by_pattern: Mapping[str, Index]) -> list[Problem]:
    """What of these objects does not fit the indices, of which there are those with these patterns."""
    known = by_key(objects)
    found: list[Problem] = []
    for one in objects:
        try:
            reasons = list(_reasons(one, known, by_pattern))
        except (Unfit, kql.KqlError) as unfit:
            reasons = [str(unfit)]
        found += [problem(one, reason) for reason in reasons]
    return found


def fields_for(
    one: SavedObject, known: Mapping[str, SavedObject], by_pattern: Mapping[str, Index], name: str = ""
) -> Fields | None:
    """The fields of the data view that an object (or its reference `name`) is about; None: nobody knows."""
    views = [known.get(_key(r)) for r in one.references if r.type == DATA_VIEW and name in ("", r.name)]
    held = views[0].attributes if views and views[0] is not None else None
    index = by_pattern.get(held.title) if isinstance(held, DataViewAttributes) else None
    return None if index is None else index.fields


def _key(reference: Reference) -> str:
    return f"{reference.type}:{reference.id}"


def _reasons(one: SavedObject, known: Mapping[str, SavedObject], by_pattern: Mapping[str, Index]) -> Iterator[str]:
    held = one.attributes
    if isinstance(held, DataViewAttributes):
        if held.title not in by_pattern:
            yield f"no index of Vigil's is called {held.title!r}"
        else:
            yield from _view(held, by_pattern[held.title].fields)
        return
    if isinstance(held, DashboardAttributes):
        for control_id, control in controls_of(held).items():
            fields = fields_for(one, known, by_pattern, control_reference(control_id))
            if fields is not None:
                yield from _can_group(fields, control.explicit_input.field_name, f"control {control_id!r}")
        return
    fields = fields_for(one, known, by_pattern)
    if fields is None:
        yield "is about no data view whose fields are known"
    elif isinstance(held, SearchAttributes):
        yield from _search(held, fields)
    else:
        yield from _chart(held, fields)


def _view(held: DataViewAttributes, fields: Fields) -> Iterator[str]:
    if held.time_field_name:
        time = fields.get(held.time_field_name)
        if time is None or time.kind is not Kind.DATE:
            yield f"its time field {held.time_field_name!r} is {'no field' if time is None else f'a {time.elastic}'}"
    for name, shown in formats_of(held).items():
        if shown.id not in SAFE_FORMATS:
            yield f"field {name!r} has format {shown.id!r}; allowed are: {', '.join(sorted(SAFE_FORMATS))}"
        field = find(fields, name)
        if field is None:
            yield f"formats field {name!r}, which is not in the mapping"
        elif field.kind is not Kind.NUMBER:
            yield f"formats field {name!r}, which is a {field.elastic}, as a number"
    for name in [*names_of(held), *(hidden.value for hidden in hidden_of(held))]:
        if find(fields, name) is None:
            yield f"names field {name!r}, which is not in the mapping"


def _search(held: SearchAttributes, fields: Fields) -> Iterator[str]:
    for column in held.columns:
        if column not in METADATA and find(fields, column) is None:
            yield f"shows field {column!r}, which is not in the mapping"
    for name, _ in held.sort:
        yield from _can_group(fields, name, "its order")
    if held.breakdown_field:
        yield from _can_group(fields, held.breakdown_field, "its chart")
    yield from _query(source_of(held).query.query, fields)


def _chart(held: Chart, fields: Fields) -> Iterator[str]:
    yield from _query(held.state.query.query, fields)
    for layer in held.state.datasource_states.form_based.layers.values():
        for name, column in layer.columns.items():
            yield from _column(name, column, fields)


def _column(name: str, column: LensColumn, fields: Fields) -> Iterator[str]:
    place = f"column {name!r}"
    if isinstance(column, Column) and column.filter:
        yield from _query(column.filter.query, fields)
    if isinstance(column, Filters):
        for one in column.params.filters:
            yield from _query(one.input.query, fields)
        return
    if isinstance(column, Count) and column.source_field == RECORDS:
        return
    field = find(fields, column.source_field)
    if field is None:
        yield f"{place}: field {column.source_field!r} is not in the mapping"
        return
    if not field.aggregatable:
        yield f"{place}: field {field.name!r} is a {field.elastic} that cannot be aggregated"
        return
    yield from (f"{place}: {reason}" for reason in _operation(column, field))


def _operation(column: LensColumn, field: Field) -> Iterator[str]:
    """Whether the field is of the type that the operation needs, and is declared as what it is."""
    if isinstance(column, NUMBERS_ONLY) and field.kind is not Kind.NUMBER:
        yield f"{type(column).__name__.lower()} of {field.name!r}, which is a {field.elastic}"
    elif isinstance(column, DateHistogram) and field.kind is not Kind.DATE:
        yield f"time by {field.name!r}, which is a {field.elastic}"
    elif isinstance(column, Minimum | Maximum):
        if field.kind not in (Kind.NUMBER, Kind.DATE):
            yield f"{type(column).__name__.lower()} of {field.name!r}, which is a {field.elastic}"
        elif column.data_type != field.kind.value:
            yield f"{field.name!r} is shown as a {column.data_type} and is a {field.kind.value}"
    elif isinstance(column, Terms) and column.data_type != field.kind.value:
        yield f"{field.name!r} is shown as a {column.data_type} and is a {field.kind.value}"


def _query(query: str, fields: Fields) -> Iterator[str]:
    for name in kql.fields_in(kql.parse(query)):
        field = find(fields, name)
        if field is None and name not in METADATA:
            yield f"asks for field {name!r}, which is not in the mapping"
        elif field is not None and not field.searchable:
            yield f"asks for field {name!r}, which is not indexed"


def _can_group(fields: Fields, name: str, what: str) -> Iterator[str]:
    field = find(fields, name)
    if field is None:
        yield f"{what} is by field {name!r}, which is not in the mapping"
    elif not field.aggregatable:
        yield f"{what} is by field {name!r}, which is a {field.elastic} without values to order by"
