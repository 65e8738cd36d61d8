"""The template holds every declared field, and nothing that a plain Elasticsearch lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from streaming.elastic import mapping
from streaming.elastic.mapping import Object
from streaming.events.fields import FIELDS


def leaves(properties: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    for name, value in properties.items():
        field = cast(Object, value)
        if "properties" in field:
            yield from leaves(cast(Object, field["properties"]), f"{path}{name}.")
        else:
            yield path + name, field


def test_every_declared_field_is_mapped_and_no_other() -> None:
    assert {name for name, _ in leaves(cast(Object, mapping.mappings()["properties"]))} == set(FIELDS)


def test_no_field_explosion() -> None:
    assert mapping.mappings()["dynamic"] == "false"


def test_only_types_that_the_server_s_core_has() -> None:
    kinds = {field["type"] for _, field in leaves(cast(Object, mapping.mappings()["properties"]))}
    assert kinds <= {"keyword", "text", "date", "date_nanos", "ip", "long", "flattened"}


def test_patterns_stay_clear_of_reserved_names_and_of_other_prefixes() -> None:
    template = mapping.template("vigil-t1")
    assert template["index_patterns"] == ["vigil-t1-logs-*"]
    assert template["priority"] == 500


def test_differences_name_the_place() -> None:
    wanted = mapping.template("vigil")
    found = json.loads(json.dumps(wanted))
    assert list(mapping.differences(wanted, found)) == []
    found["priority"] = 7
    del found["template"]["mappings"]["properties"]["message"]
    found["composed_of"] = []
    assert list(mapping.differences(wanted, found)) == [
        "priority is 7, should be 500",
        "template.mappings.properties.message is missing",
    ]


def test_a_boolean_given_back_as_text_is_no_difference() -> None:
    assert list(mapping.differences({"index": False, "n": 5}, {"index": "false", "n": "5"})) == []


def test_a_change_of_mode_is_a_difference_both_ways() -> None:
    standard, logsdb = mapping.template("vigil"), mapping.template("vigil", mapping.LOGSDB)
    assert list(mapping.differences(standard, logsdb))
    assert list(mapping.differences(logsdb, standard))


def test_logsdb_sorts_by_fields_that_there_are_and_keeps_the_source_as_it_came() -> None:
    settings = json.loads(json.dumps(mapping.template("vigil", mapping.LOGSDB)))["template"]["settings"]["index"]
    assert settings["sort"]["field"][-1] == "@timestamp"
    assert {FIELDS[name] for name in settings["sort"]["field"]} == {"keyword", "date_nanos"}
    assert settings["mapping"]["source"]["mode"] == "stored"
