"""What Elasticsearch is asked for each kind of column and for searches; and objects of any prefix."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.kibana.checks import checked
from infra.kibana.content.views import Naming, views
from infra.kibana.indices import indices
from infra.kibana.making.charts import About, number, over_time, table
from infra.kibana.making.data_views import View, data_view
from infra.kibana.making.measures import Top, count, different, largest, latest, percentile, total
from infra.kibana.making.searches import Search, search
from infra.kibana.questions import questions
from infra.kibana.stored.lens_columns import Average, Count, Measure, Median, Minimum
from infra.kibana.stored.objects import SavedObject
from streaming.elastic.mapping import Object

LOGS: View = views(Naming("vigil")).logs
ABOUT = About("c", "C", LOGS, query="service.name : *")
BY_PATTERN = indices("vigil").by_pattern()


def asked(one: SavedObject) -> Object:
    [question] = questions([data_view(LOGS), one], BY_PATTERN)
    assert (question.about, question.pattern) == (one, "vigil-logs-*")
    return question.body


@pytest.mark.parametrize(
    ("measure", "aggregations"),
    [
        (count("n"), {}),
        (count("n", "log.level : ERROR"), {"value": {"filter": {"match": {"log.level": "ERROR"}}}}),
        (Count(label="n", source_field="host.name"), {"value": {"value_count": {"field": "host.name"}}}),
        (different("n", "host.name"), {"value": {"cardinality": {"field": "host.name"}}}),
        (total("n", "event.duration"), {"value": {"sum": {"field": "event.duration"}}}),
        (largest("n", "event.duration"), {"value": {"max": {"field": "event.duration"}}}),
        (latest("n", "@timestamp"), {"value": {"max": {"field": "@timestamp"}}}),
        (Minimum(label="n", source_field="event.duration"), {"value": {"min": {"field": "event.duration"}}}),
        (Average(label="n", source_field="event.duration"), {"value": {"avg": {"field": "event.duration"}}}),
        (
            Median(label="n", source_field="event.duration"),
            {"value": {"percentiles": {"field": "event.duration", "percents": [50]}}},
        ),
        (
            percentile("n", "event.duration", 99),
            {"value": {"percentiles": {"field": "event.duration", "percents": [99]}}},
        ),
    ],
)
def test_measures(measure: Measure, aggregations: Object) -> None:
    body = asked(number(ABOUT, measure))
    assert body["query"] == {"exists": {"field": "service.name"}}
    assert body["size"] == 0
    assert body["aggs"] == aggregations


def test_groups_are_nested_in_the_order_of_the_columns() -> None:
    by = Top("service.name", "Service", 7)
    split = cast(Object, cast(Object, asked(over_time(ABOUT, count("n"), by))["aggs"])["split"])
    assert split["terms"] == {"field": "service.name", "size": 7, "order": {"_count": "desc"}}
    time = cast(Object, cast(Object, split["aggs"])["time"])
    assert time["date_histogram"] == {"field": "@timestamp", "fixed_interval": "1h", "min_doc_count": 1}
    assert time["aggs"] == {}


@pytest.mark.parametrize(
    ("measure", "order"),
    [
        (different("n", "host.name"), "value1"),
        (percentile("n", "event.duration", 95), "value1.95"),
        (total("n", "event.duration"), "value1"),
        (count("n", "log.level : ERROR"), "value1"),
    ],
)
def test_groups_are_ordered_by_what_is_measured_in_each(measure: Measure, order: str) -> None:
    rows = table(ABOUT, (Top("service.name", "Service"),), (measure, count("all")))
    group = cast(Object, cast(Object, asked(rows)["aggs"])["group1"])
    assert cast(Object, group["terms"])["order"] == {order: "desc"}
    assert cast(Object, group["aggs"]).keys() == {"value1"}


def test_a_search() -> None:
    wanted = Search("s", "S", "", LOGS, ("message",), "log.level : ERROR", oldest_first=True, by="log.level")
    body = asked(search(wanted))
    assert body["query"] == {"match": {"log.level": "ERROR"}}
    assert body["sort"] == [{"@timestamp": {"order": "asc"}}]
    assert body["fields"] == [{"field": "message"}]
    assert cast(Object, cast(Object, body["aggs"])["breakdown"])["terms"] == {"field": "log.level", "size": 3}


@settings(max_examples=10)
@given(st.from_regex(r"vigil[a-z0-9._-]{0,20}", fullmatch=True))
def test_objects_of_any_prefix_pass(prefix: str) -> None:
    objects, problems = checked(prefix)
    assert problems == []
    assert len(list(questions(objects, indices(prefix).by_pattern()))) > len(objects) // 2
