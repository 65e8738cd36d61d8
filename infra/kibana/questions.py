"""What Elasticsearch will be asked when somebody opens an object: query and aggregations, as Kibana sends them. Pure.

Time ranges are left out, since a search over all time asks for the same fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.kibana import kql
from infra.kibana.checking.mapping import fields_for
from infra.kibana.fields import Fields
from infra.kibana.indices import Index
from infra.kibana.stored.base import Kql
from infra.kibana.stored.dashboard import DashboardAttributes, control_reference
from infra.kibana.stored.data_view import DataViewAttributes
from infra.kibana.stored.lens import Layer
from infra.kibana.stored.lens_columns import (
    RECORDS,
    Average,
    Bucket,
    Count,
    DateHistogram,
    Filters,
    LensColumn,
    Maximum,
    Measure,
    Median,
    Minimum,
    Percentile,
    Sum,
    Terms,
    UniqueCount,
)
from infra.kibana.stored.objects import DATA_VIEW, SavedObject, by_key
from infra.kibana.stored.opened import controls_of, source_of
from infra.kibana.stored.search import SearchAttributes
from streaming.elastic.mapping import Object
from streaming.events.model import Json

AUTO = "1h"
"""For `auto`: Kibana chooses by the time range and the width of the chart."""


@dataclass(frozen=True)
class Question:
    """A search of one object; `pattern` names the indices that are searched."""

    about: SavedObject
    pattern: str
    body: Object


def questions(objects: Sequence[SavedObject], by_pattern: Mapping[str, Index]) -> Iterator[Question]:
    """One for each search, chart and control. The objects must have passed the checks."""
    known = by_key(objects)
    for one in objects:
        held = one.attributes
        if isinstance(held, DataViewAttributes):
            continue
        if isinstance(held, DashboardAttributes):
            for control_id, control in controls_of(held).items():
                name = control_reference(control_id)
                offered: Object = {"terms": {"field": control.explicit_input.field_name, "size": 10}}
                yield Question(one, _pattern(one, known, name), {"size": 0, "aggs": {"offered": offered}})
            continue
        fields = fields_for(one, known, by_pattern) or {}
        body = (
            _search(held, fields)
            if isinstance(held, SearchAttributes)
            else _chart(next(iter(held.state.datasource_states.form_based.layers.values())), held.state.query, fields)
        )
        yield Question(one, _pattern(one, known), body)


def _pattern(one: SavedObject, known: Mapping[str, SavedObject], name: str = "") -> str:
    for reference in one.references:
        if reference.type == DATA_VIEW and name in ("", reference.name):
            view = known[f"{reference.type}:{reference.id}"].attributes
            assert isinstance(view, DataViewAttributes)
            return view.title
    raise KeyError(name)


def _search(held: SearchAttributes, fields: Fields) -> Object:
    body: Object = {
        "size": 10,
        "query": _query(source_of(held).query, fields),
        "sort": cast(Json, [{name: {"order": order}} for name, order in held.sort]),
        "fields": cast(Json, [{"field": column} for column in held.columns]),
        "highlight": {"fields": {"*": {}}},
    }
    if held.breakdown_field:
        over_time: Object = {"date_histogram": {"field": held.sort[0][0], "fixed_interval": AUTO, "min_doc_count": 1}}
        by: Object = {"terms": {"field": held.breakdown_field, "size": 3}, "aggs": {"time": over_time}}
        body["aggs"] = {"breakdown": by}
    return body


def _chart(layer: Layer, query: Kql, fields: Fields) -> Object:
    """Groups nested in the order of the columns, the measures in the innermost. Terms are ordered by a measure, which
    is therefore taken at their own level too."""
    groups = [(name, layer.columns[name]) for name in layer.column_order if isinstance(layer.columns[name], Bucket)]
    measures: dict[str, Object] = {}
    for name, column in layer.columns.items():
        if isinstance(column, Measure) and (measured := _measured(column, fields)) is not None:
            measures[name] = measured
    inner: Object = cast(Object, dict(measures))
    for name, column in reversed(groups):
        inner = {name: _grouped(column, measures, fields) | {"aggs": {**measures, **inner}}}
    return {"size": 0, "track_total_hits": True, "query": _query(query, fields), "aggs": inner}


def _grouped(column: LensColumn, measures: Mapping[str, Object], fields: Fields) -> Object:
    match column:
        case Terms(source_field=name, params=params):
            by = params.order_by.column_id
            # Plain counts are the number of documents in a group.
            order: Object = {_order_by(by, measures): params.order_direction}
            return {"terms": {"field": name, "size": params.size, "order": order}}
        case DateHistogram(source_field=name, params=params):
            interval = AUTO if params.interval == "auto" else params.interval
            return {"date_histogram": {"field": name, "fixed_interval": interval, "min_doc_count": 1}}
        case Filters(params=params):
            return {"filters": {"filters": cast(Json, {f.label: _query(f.input, fields) for f in params.filters})}}
    raise TypeError(f"{type(column).__name__} groups nothing")


def _order_by(column: str, measures: Mapping[str, Object]) -> str:
    if column not in measures:
        return "_count"
    if "percentiles" in measures[column]:
        percents = cast(list[float], cast(Object, measures[column]["percentiles"])["percents"])
        return f"{column}.{percents[0]}"
    if "filter" in measures[column]:
        # By a bucket itself means by how many documents it has.
        return f"{column}>measured" if "aggs" in measures[column] else column
    return column


def _measured(column: Measure, fields: Fields) -> Object | None:
    """None: the number of documents, which Elasticsearch always tells."""
    found = _aggregation(column)
    if not column.filter:
        return found
    only: Object = {"filter": _query(column.filter, fields)}
    return only if found is None else only | {"aggs": {"measured": found}}


def _aggregation(column: Measure) -> Object | None:
    match column:
        case Count(source_field=name):
            return None if name == RECORDS else {"value_count": {"field": name}}
        case Percentile(source_field=name, params=params):
            return {"percentiles": {"field": name, "percents": [params.percentile]}}
        case Median(source_field=name):
            return {"percentiles": {"field": name, "percents": [50]}}
        case UniqueCount(source_field=name):
            return {"cardinality": {"field": name}}
        case Sum(source_field=name):
            return {"sum": {"field": name}}
        case Average(source_field=name):
            return {"avg": {"field": name}}
        case Minimum(source_field=name):
            return {"min": {"field": name}}
        case Maximum(source_field=name):
            return {"max": {"field": name}}


def _query(query: Kql, fields: Fields) -> Object:
    return kql.to_elastic(kql.parse(query.query), fields)
