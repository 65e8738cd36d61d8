"""What Vigil puts into Kibana: there, the same each time, rightly named, and harmless whatever logs say."""

from __future__ import annotations

import json
from pathlib import Path

from infra.kibana.checks import checked, export
from infra.kibana.content.all import saved_objects
from infra.kibana.content.queries import REAL
from infra.kibana.stored.data_view import DataViewAttributes
from infra.kibana.stored.objects import CORE_VERSION, TYPE_VERSIONS, by_key
from infra.kibana.stored.opened import formats_of
from streaming.alerting.receivers import links_to
from streaming.canary import SERVICE
from streaming.elastic.mapping import logs_data_view, logs_pattern
from streaming.settings import Settings
from tests.support.kibana_types import KNOWN_VERSIONS, is_too_new, refusal


def test_nothing_is_wrong_with_any_object_whatever_the_prefix() -> None:
    for prefix in ("vigil", "vigil-t1"):
        objects, problems = checked(prefix)
        assert problems == []
        assert {one.type for one in objects} == set(TYPE_VERSIONS)


def test_the_same_bytes_each_time_and_ids_that_begin_with_the_prefix() -> None:
    assert export("vigil") == export("vigil")
    assert all(one.id.startswith("vigil-t1-") for one in saved_objects("vigil-t1"))
    ids = {one.key for one in saved_objects("vigil")}
    assert not ids & {one.key for one in saved_objects("vigil-t1")}
    assert {one.title for one in saved_objects("vigil-t1")}.isdisjoint(one.title for one in saved_objects("vigil"))


def test_lines_are_as_kibana_exports_them() -> None:
    *lines, last = [json.loads(line) for line in export("vigil").splitlines()]
    wanted = {"attributes", "coreMigrationVersion", "id", "managed", "references", "type", "typeMigrationVersion"}
    assert all(line.keys() == wanted for line in lines)
    assert all(list(line) == sorted(line) for line in lines)
    assert {line["coreMigrationVersion"] for line in lines} == {CORE_VERSION}
    assert last["exportedCount"] == len(lines)
    assert last["missingRefCount"] == 0
    order = [list(TYPE_VERSIONS).index(line["type"]) for line in lines]
    assert order == sorted(order), "what is referred to comes first"


def test_each_type_fits_kibanas_schemas_as_they_were_read_from_its_sources() -> None:
    assert KNOWN_VERSIONS.keys() == TYPE_VERSIONS.keys()
    for line in map(json.loads, export("vigil").splitlines()[:-1]):
        assert refusal(line["type"], line["attributes"]) == "", line["id"]
        assert not is_too_new(line["type"], line["typeMigrationVersion"])


def test_there_are_a_data_view_for_each_index_four_dashboards_and_the_searches_that_people_need() -> None:
    found = by_key(saved_objects("vigil"))
    assert {one.id for one in found.values() if one.type == "dashboard"} == {
        "vigil-dashboard-logs",
        "vigil-dashboard-incidents",
        "vigil-dashboard-nodes",
        "vigil-dashboard-pipeline",
    }
    for name in ("errors", "trace", "node", "dead-letters"):
        assert f"search:vigil-search-{name}" in found
    assert sum(one.type == "index-pattern" for one in found.values()) == 10


def test_what_is_open_or_down_now_is_asked_whatever_the_time_range() -> None:
    """Data views without a time field: an incident that was opened before the time range is open all the same."""
    found = by_key(saved_objects("vigil"))
    for name in ("incidents", "nodes"):
        view = found[f"index-pattern:vigil-{name}"].attributes
        assert isinstance(view, DataViewAttributes)
        assert not view.time_field_name
    now = [key for key in found if key.startswith(("lens:vigil-chart-nodes-now-", "lens:vigil-chart-incidents-open"))]
    now += ["search:vigil-search-open-incidents", "search:vigil-search-nodes-not-up"]
    asked = {reference.id for key in now for reference in found[key].references}
    assert asked <= {"vigil-incidents", "vigil-nodes", "vigil-incident-events"}
    assert {"vigil-incidents", "vigil-nodes"} <= asked


def test_links_in_messages_lead_to_the_data_view_of_logs() -> None:
    for prefix in ("vigil", "vigil-t1"):
        view = by_key(saved_objects(prefix))[f"index-pattern:{logs_data_view(prefix)}"].attributes
        assert isinstance(view, DataViewAttributes)
        assert view.title == logs_pattern(prefix)
        assert links_to(Settings(kibana_url="https://kibana.example", index_prefix=prefix)).data_view == logs_data_view(
            prefix
        )


def test_no_value_of_a_log_becomes_a_link_or_markup() -> None:
    raw = export("vigil").decode()
    for word in (
        "markdown",
        '"url"',
        "urlTemplate",
        "labelTemplate",
        "linkPattern",
        "useLink",
        "vega",
        "http://",
        "https://",
    ):
        assert word not in raw
    for one in saved_objects("vigil"):
        if isinstance(one.attributes, DataViewAttributes):
            assert {shown.id for shown in formats_of(one.attributes).values()} <= {"number", "bytes", "duration"}


def test_canaries_are_left_out() -> None:
    assert SERVICE in REAL
    logs = [one for one in export("vigil").decode().splitlines() if '"vigil-chart-logs-' in one]
    assert [line for line in logs if SERVICE not in line and "dashboard" not in line] == []


def test_the_documentation_names_every_dashboard_and_search() -> None:
    page = (Path(__file__).parents[4] / "docs" / "kibana.md").read_text(encoding="utf-8")
    for one in saved_objects("vigil"):
        if one.type != "lens":
            assert one.title.removeprefix("[Vigil] ") in page, one.title
