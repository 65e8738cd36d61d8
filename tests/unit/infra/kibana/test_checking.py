"""Every fault that the checks are there for is found, and named with its object."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from infra.kibana.checking.form import problems_of_form
from infra.kibana.checking.mapping import problems_of_mapping
from infra.kibana.checks import export
from infra.kibana.indices import indices
from infra.kibana.stored.objects import Unfit, read_ndjson

Line = dict[str, object]
LINES = export("vigil").splitlines()


def changed(key: str, change: Callable[[dict[str, object]], None], inside: str = "") -> list[str]:
    """Problems after one object's attributes were changed; `inside`: JSON within JSON that is changed instead."""
    lines = []
    for raw in LINES[:-1]:
        line = json.loads(raw)
        if f"{line['type']}:{line['id']}" == key:
            held = line["attributes"]
            if inside:
                opened = json.loads(held[inside])
                change(opened)
                held[inside] = json.dumps(opened)
            else:
                change(held)
        lines.append(json.dumps(line))
    return problems("\n".join(lines))


def problems(ndjson: str) -> list[str]:
    objects = read_ndjson(ndjson.encode())
    found = [*problems_of_form(objects), *problems_of_mapping(objects, indices("vigil").by_pattern())]
    return [str(one) for one in found]


def within(held: object, *path: str | int) -> dict[str, object]:
    """The object at this place."""
    for step in path:
        assert isinstance(held, dict | list)
        held = held[step]  # type: ignore[index]
    assert isinstance(held, dict)
    return held


LAYER = ("state", "datasourceStates", "formBased", "layers", "layer")
SERIES = ("state", "visualization", "layers", 0)


TABLE, LEVELS, NUMBER = "lens:vigil-chart-logs-table", "lens:vigil-chart-logs-levels", "lens:vigil-chart-logs-number"
ERRORS, LOGS, BOARD = "search:vigil-search-errors", "index-pattern:vigil-logs", "dashboard:vigil-dashboard-logs"


def column(name: str, **values: object) -> Callable[[dict[str, object]], None]:
    return lambda held: within(held, *LAYER, "columns", name).update(values)


def attribute(**values: object) -> Callable[[dict[str, object]], None]:
    return lambda held: held.update(values)


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        (TABLE, column("group1", sourceField="service"), "field 'service' is not in the mapping"),
        (TABLE, column("group1", sourceField="message"), "field 'message' is a text that cannot be aggregated"),
        (TABLE, column("group1", sourceField="labels.team"), "is a flattened that cannot be aggregated"),
        (TABLE, column("group1", sourceField="event.duration"), "is shown as a string and is a number"),
        (TABLE, column("value4", sourceField="log.level"), "percentile of 'log.level', which is a keyword"),
        (TABLE, column("value5", sourceField="event.duration"), "is shown as a date and is a number"),
        (TABLE, column("value5", sourceField="log.level"), "maximum of 'log.level', which is a keyword"),
        (TABLE, column("value2", filter={"query": "level : x", "language": "kuery"}), "asks for field 'level'"),
        (TABLE, column("value2", filter={"query": "a : (", "language": "kuery"}), "KQL 'a : ('"),
        (LEVELS, column("time", sourceField="event.duration"), "time by 'event.duration', which is a long"),
        (LEVELS, attribute(visualizationType="lnsXY", title="Levels"), ""),
        (ERRORS, attribute(columns=["nothing"]), "shows field 'nothing'"),
        (ERRORS, attribute(sort=[["message", "asc"]]), "its order is by field 'message', which is a text"),
        (ERRORS, attribute(breakdownField="message"), "its chart is by field 'message', which is a text"),
        (ERRORS, attribute(breakdownField="nothing"), "its chart is by field 'nothing'"),
        (LOGS, attribute(title="other-*"), "no index of Vigil's is called 'other-*'"),
        (LOGS, attribute(timeFieldName="message"), "its time field 'message' is a text"),
        (LOGS, attribute(timeFieldName="nothing"), "its time field 'nothing' is no field"),
        (LOGS, attribute(runtimeFieldMap='{"a":{"type":"long"}}'), "runtime or scripted fields"),
        (LOGS, attribute(fieldFormatMap='{"message":{"id":"url","params":{}}}'), "has format 'url'"),
        (LOGS, attribute(fieldFormatMap='{"url.path":{"id":"url","params":{"urlTemplate":"x"}}}'), "urlTemplate"),
        (LOGS, attribute(fieldFormatMap='{"log.level":{"id":"bytes"}}'), "which is a keyword, as a number"),
        (LOGS, attribute(fieldFormatMap='{"nothing":{"id":"bytes"}}'), "formats field 'nothing'"),
        (LOGS, attribute(sourceFilters='[{"value":"nothing"}]'), "names field 'nothing'"),
    ],
)
def test_against_the_mapping(key: str, change: Callable[[dict[str, object]], None], reason: str) -> None:
    found = changed(key, change)
    assert any(reason in one and one.startswith(key) for one in found) if reason else found == [], found


def order(*names: str) -> Callable[[dict[str, object]], None]:
    return lambda held: within(held, *LAYER).update(columnOrder=list(names))


def drawn(**values: object) -> Callable[[dict[str, object]], None]:
    return lambda held: within(held, "state", "visualization").update(values)


def rename_column(held: dict[str, object]) -> None:
    found = within(held, *LAYER, "columns")
    found["other"] = found.pop("value")
    order("other")(held)


def by_terms(held: dict[str, object]) -> None:
    within(held, *LAYER, "columns", "group1", "params")["orderBy"] = {"type": "column", "columnId": "group1"}


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        (LEVELS, order("time", "value"), "has columns ['split', 'time', 'value'] in the order ['time', 'value']"),
        (LEVELS, order("value", "time", "split"), "measures before it groups"),
        (TABLE, by_terms, "is ordered by 'group1', which measures nothing"),
        (NUMBER, rename_column, "draws columns ['value'], and has ['other']"),
        (NUMBER, drawn(layerId="other"), "draws layers ['other']"),
        (
            LEVELS,
            lambda held: within(held, *SERIES).update(xAccessor="value", accessors=["time"]),
            "'value' measures, where one stands that groups",
        ),
        (
            LEVELS,
            lambda held: within(held, *SERIES).update(seriesType="line", xAccessor="split", splitAccessor="time"),
            "lines between what has no order",
        ),
        (TABLE, drawn(sorting={"columnId": "none", "direction": "asc"}), "is sorted by column 'none'"),
        (ERRORS, attribute(timeRange=None), "Expected `object`"),
    ],
)
def test_against_themselves(key: str, change: Callable[[dict[str, object]], None], reason: str) -> None:
    try:
        found = changed(key, change)
    except Unfit as unfit:
        found = [str(unfit)]
    assert any(reason in one for one in found), found


@pytest.mark.parametrize(
    ("inside", "change", "reason"),
    [
        ("panelsJSON", lambda panels: panels[0]["gridData"].update(x=40), "does not lie within the 48 columns"),
        ("panelsJSON", lambda panels: panels[1]["gridData"].update(x=0), "overlap"),
        ("panelsJSON", lambda panels: panels[0]["gridData"].update(i="z"), "is called 'z' in the grid"),
        ("panelsJSON", lambda panels: panels[0].update(panelIndex="z"), "has no reference named 'z:panel_"),
        ("panelsJSON", lambda panels: panels.pop(), "that nothing uses"),
        ("panelsJSON", lambda panels: panels[0].update(type="search"), "is to a lens, and search is needed"),
        ("panelsJSON", lambda panels: panels[0].update(kind="x"), "unknown field `kind`"),
        ("optionsJSON", lambda options: options.update(useMargins="yes"), "optionsJSON: Expected `bool`"),
    ],
)
def test_dashboards(inside: str, change: Callable[[object], None], reason: str) -> None:
    found = changed(BOARD, change, inside)
    assert any(reason in one and one.startswith(BOARD) for one in found), found


def test_controls() -> None:
    def of_text(held: dict[str, object]) -> None:
        group = held["controlGroupInput"]
        assert isinstance(group, dict)
        group["panelsJSON"] = group["panelsJSON"].replace('"fieldName":"log.level"', '"fieldName":"message"')

    def of_another_view(held: dict[str, object]) -> None:
        group = held["controlGroupInput"]
        assert isinstance(group, dict)
        group["panelsJSON"] = group["panelsJSON"].replace('"dataViewId":"vigil-logs"', '"dataViewId":"other"', 1)

    assert any("control 'log-level' is by field 'message'" in one for one in changed(BOARD, of_text))
    assert any("names another data view than its reference" in one for one in changed(BOARD, of_another_view))


def test_what_is_referred_to_must_be_there_also_where_kibana_does_not_look() -> None:
    without_chart = [line.decode() for line in LINES[:-1] if b'"id":"vigil-chart-logs-table","managed"' not in line]
    assert len(without_chart) == len(LINES) - 2
    assert any(
        "refers to lens:vigil-chart-logs-table, which is not there" in one for one in problems("\n".join(without_chart))
    )
    without_view = [line.decode() for line in LINES[:-1] if json.loads(line)["type"] != "index-pattern"]
    found = problems("\n".join(without_view))
    assert any("refers to index-pattern:vigil-logs" in one for one in found)
    assert any("is about no data view whose fields are known" in one for one in found)


def test_versions_and_doubles() -> None:
    newer = LINES[-2].decode().replace('"10.2.0"', '"10.4.0"')
    lines = [line.decode() for line in LINES[:-2]]
    assert any(
        "typeMigrationVersion is '10.4.0', Kibana 9.0 writes '10.2.0'" in one
        for one in problems("\n".join([*lines, newer]))
    )
    assert any("is there 2 times" in one for one in problems("\n".join([*lines, lines[0], LINES[-2].decode()])))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "line 1: "),
        (b'{"type":"map","id":"a","attributes":{},"references":[]}', "a type that is not made here"),
        (b'{"type":"lens","id":"a","attributes":{"visualizationType":"lnsPie"}}', "no chart 'lnsPie'"),
        (b'{"type":"index-pattern","id":"a","attributes":{"title":"a"}}', "index-pattern 'a': Object missing required"),
        (b'{"type":"search","id":"a","attributes":{},"extra":1}', "unknown field `extra`"),
        (b'{"exportedCount":3}', "3 objects were exported, and 0 lines are here"),
    ],
)
def test_lines_that_are_no_objects(line: bytes, reason: str) -> None:
    with pytest.raises(Unfit, match=r"^line 1") as raised:
        read_ndjson(line)
    assert reason in str(raised.value)


def test_what_kibana_adds_to_an_export_is_read() -> None:
    line = json.loads(LINES[0])
    line |= {"created_at": "2026-01-01T00:00:00.000Z", "updated_at": "x", "updated_by": "u", "version": "WzEsMV0="}
    assert read_ndjson(json.dumps(line).encode() + b"\n\n") == read_ndjson(LINES[0])
