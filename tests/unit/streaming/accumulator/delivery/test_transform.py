"""Filters that change events: as Fluentd changes them, the same every time, and losing nothing."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.plan import KafkaOutput, Plan
from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.events import Event
from streaming.accumulator.delivery.outgoing import Converter, ToKafka
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.delivery.transform import Refused, without
from streaming.accumulator.spool.segment import Stored
from streaming.events import coordinates

SOURCE = "<source>\n@type forward\n</source>\n"
KAFKA = "<match **>\n  @type kafka2\n  brokers k:1\n  default_topic {}\n</match>\n"
NOW = 1_700_000_000_000_000_000
THEN = 5_000_000_000


def plan_of(folder: Path, text: str) -> Plan:
    file = folder / "test.conf"
    file.write_text(SOURCE + text)
    return load_plan(file, {})


def event_of(record: dict[str, object]) -> Event:
    return Event(THEN, record, orjson.dumps(record))  # type: ignore[arg-type]


def through(folder: Path, filters: str, record: dict[str, object], tag: str = "app.web.one") -> Event | None:
    """The event as the only output gets it."""
    routes = Router(plan_of(folder, filters + KAFKA.format("logs")), "here").routes(None, tag)
    assert routes.changes
    before = copy.deepcopy(record)
    found = routes.delivered(event_of(record), NOW)
    assert record == before
    assert found == routes.delivered(event_of(record), NOW)
    for _, event in found:
        assert json.loads(event.value) == event.record
    assert len(found) <= 1
    return found[0][1] if found else None


def transformed(folder: Path, given: str, record: dict[str, object]) -> object:
    event = through(folder, f"<filter **>\n@type record_transformer\n{given}</filter>\n", record)
    assert event
    return event.record


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${tag}", "app.web.one"),
        ("${tag_parts[1]} ${tag_parts[-1]}", "web one"),
        ("${tag_prefix[1]}", "app.web"),
        ("${tag_prefix[-1]}", "app.web.one"),
        ("${tag_suffix[1]}", "web.one"),
        ("${tag_suffix[-1]}", "one"),
        ("${tag_parts[3]}", None),
        ("<${tag_parts[3]}>", "<>"),
        ("${hostname}", "here"),
        ('${record["n"]}', 7),
        ('n=${record["n"]}', "n=7"),
        ('${record["map"]}', {"x": 1}),
        ('${record["none"]}', None),
        ('<${record["none"]}>', "<>"),
        (r'["${tag}", {"k": "${record[\"n\"]}"}]', ["app.web.one", {"k": 7}]),
        ('{"a": [1, "${hostname}", null], "${tag_parts[0]}": true}', {"a": [1, "here", None], "app": True}),
        ("plain", "plain"),
        ('"[not json"', "[not json"),
    ],
)
def test_placeholders(tmp_path: Path, written: str, meant: object) -> None:
    record = {"n": 7, "map": {"x": 1}}
    found = transformed(tmp_path, f"<record>\nfield {written}\n</record>\n", record)
    assert found == {**record, "field": meant}


def test_a_time_is_the_stored_events_own(tmp_path: Path) -> None:
    found = transformed(tmp_path, "<record>\nat ${time}\n</record>\n", {})
    assert found == {"at": datetime.fromtimestamp(5, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")}


@pytest.mark.parametrize("second", [2**64 - 1, 2**40, -(2**63)])
def test_where_no_date_can_say_an_events_time_that_of_receiving_stands_in(tmp_path: Path, second: int) -> None:
    """Any sender may write such a number; it must not end the accumulator, and again after each restart."""
    filters = "<filter **>\n@type record_transformer\n<record>\nat ${time}\n</record>\n</filter>\n"
    entry = msgpack.packb([second, {}])
    (item,) = sent_entries(tmp_path, filters, [entry])
    received = datetime.fromtimestamp(NOW // 10**9, UTC).astimezone()
    assert json.loads(item.value) == {"at": received.strftime("%Y-%m-%d %H:%M:%S %z")}
    assert coordinates.decode(item.headers[0][1]).event_ns == second * 10**9


def test_values_become_texts_where_types_are_not_wanted(tmp_path: Path) -> None:
    given = 'auto_typecast false\n<record>\na ${record["n"]}\n</record>\n'
    assert transformed(tmp_path, given, {"n": 7}) == {"n": 7, "a": "7"}


def test_keys_are_removed_kept_and_renewed(tmp_path: Path) -> None:
    record: dict[str, object] = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}
    assert transformed(tmp_path, "remove_keys a,$.b.c,nothing,$.e.f\n", record) == {"b": {"d": 3}, "e": 4}
    given = "renew_record true\nkeep_keys a,x\n<record>\nnew 1\n</record>\n"
    assert transformed(tmp_path, given, record) == {"a": 1, "new": "1"}


@pytest.mark.parametrize(
    ("value", "time_ns"),
    [
        (7, 7 * 10**9),
        (7.25, 7_250_000_000),
        ("7.5 s", 7_500_000_000),
        ("x", 0),
        (1_700_000_000.123456, NOW + 123_456_000),
    ],
)
def test_a_field_renews_the_time(tmp_path: Path, value: object, time_ns: int) -> None:
    given = "<filter **>\n@type record_transformer\nrenew_time_key t\nremove_keys t\n</filter>\n"
    event = through(tmp_path, given, {"t": value, "a": 1})
    assert event
    assert (event.time_ns, event.record) == (time_ns, {"a": 1})


@pytest.mark.parametrize("value", [None, True, [], -1, 1e300])
def test_a_time_that_is_none_sends_the_event_to_the_dead_letters(tmp_path: Path, value: object) -> None:
    with pytest.raises(Refused, match="t: no time in seconds"):
        through(tmp_path, "<filter **>\n@type record_transformer\nrenew_time_key t\n</filter>\n", {"t": value})


def parser(flags: str, parse: str = "@type json\ntime_key t") -> str:
    return f"<filter **>\n@type parser\nkey_name log\n{flags}\n<parse>\n{parse}\n</parse>\n</filter>\n"


RECORD: dict[str, object] = {"log": '{"t": 9, "a": 1, "id": 2}', "id": 1}


@pytest.mark.parametrize(
    ("flags", "time_ns", "meant"),
    [
        ("", 9_000_000_000, {"a": 1, "id": 2}),
        ("reserve_data true", 9_000_000_000, {"log": RECORD["log"], "id": 2, "a": 1}),
        ("reserve_data true\nremove_key_name_field true", 9_000_000_000, {"id": 2, "a": 1}),
        ("reserve_time true", THEN, {"a": 1, "id": 2}),
        ("inject_key_prefix p.", 9_000_000_000, {"p.a": 1, "p.id": 2}),
        ("hash_value_field h", 9_000_000_000, {"h": {"a": 1, "id": 2}}),
        (
            "hash_value_field h\ninject_key_prefix p.\nreserve_data\nremove_key_name_field",
            9_000_000_000,
            {"id": 1, "h": {"p.a": 1, "p.id": 2}},
        ),
    ],
)
def test_a_parsed_text_becomes_fields(tmp_path: Path, flags: str, time_ns: int, meant: object) -> None:
    event = through(tmp_path, parser(flags), RECORD)
    assert event
    assert (event.time_ns, event.record) == (time_ns, meant)


def test_without_a_time_in_the_text_it_is_when_the_chunk_was_received(tmp_path: Path) -> None:
    event = through(tmp_path, parser("", "@type none"), {"log": "x"})
    assert event
    assert event.time_ns == NOW
    event = through(tmp_path, parser("", "@type none\nestimate_current_event no"), {"log": "x"})
    assert event
    assert event.time_ns == THEN


@pytest.mark.parametrize("record", [{}, {"log": None}, {"log": 5}, {"log": "{"}, {"log": '[{"a": 1}, {"a": 2}]'}])
def test_what_cannot_be_parsed_is_refused_or_kept_or_dropped_as_configured(
    tmp_path: Path, record: dict[str, object]
) -> None:
    with pytest.raises(Refused, match="filter parser: log: "):
        through(tmp_path, parser(""), record)
    kept = through(tmp_path, parser("reserve_data true\nremove_key_name_field"), record)
    assert kept
    assert kept.record == record
    assert through(tmp_path, parser("emit_invalid_record_to_error false"), record) is None


def test_what_is_no_json_afterwards_is_refused(tmp_path: Path) -> None:
    deep = "[" * 300 + "]" * 300
    with pytest.raises(Refused, match="no JSON"):
        through(tmp_path, parser(""), {"log": f'{{"a": {deep}}}'})


def test_filters_apply_in_their_order_and_shared_ones_once(tmp_path: Path) -> None:
    label = (
        "<label @{0}>\n<filter **>\n@type grep\n<regexp>\nkey level\npattern {0}\n</regexp>\n</filter>\n{1}</label>\n"
    )
    copies = "".join(f"<store>\n@type relabel\n@label @{name}\n</store>\n" for name in ("E", "I"))
    text = (
        parser("reserve_data true", "@type regexp\nexpression /(?<level>[EI])/")
        + f"<match **>\n@type copy\n{copies}</match>\n"
        + label.format(
            "E", "<filter **>\n@type record_transformer\nremove_keys log\n</filter>\n" + KAFKA.format("errors")
        )
        + label.format("I", KAFKA.format("infos"))
    )
    routes = Router(plan_of(tmp_path, text), "here").routes(None, "t")

    def sent(log: str) -> list[tuple[str, object]]:
        found = routes.delivered(event_of({"log": log}), NOW)
        return [(o.topic, e.record) for o, e in found if isinstance(o, KafkaOutput)]

    assert sent("E") == [("errors", {"level": "E"})]
    assert sent("I") == [("infos", {"log": "I", "level": "I"})]


def test_filters_for_other_tags_change_nothing(tmp_path: Path) -> None:
    text = parser("").replace("**", "other") + KAFKA.format("logs")
    routes = Router(plan_of(tmp_path, text), "here").routes(None, "t")
    assert not routes.changes
    event = event_of({"a": 1})
    assert [e for _, e in routes.delivered(event, NOW)] == [event]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
)
def test_removing_a_key_leaves_all_else_and_the_record_itself(record: dict[str, object], keys: list[str]) -> None:
    before = copy.deepcopy(record)
    found = without(record, tuple(keys))  # type: ignore[arg-type]
    assert record == before
    expected: object = before
    *path, last = keys
    for key in path:
        expected = expected.get(key) if isinstance(expected, dict) else None
    if isinstance(expected, dict):
        expected.pop(last, None)
    assert found == before


def sent(folder: Path, filters: str, *records: dict[str, object]) -> list[ToKafka]:
    return sent_entries(folder, filters, [msgpack.packb([5, record]) for record in records])


def sent_entries(folder: Path, filters: str, entries: list[bytes]) -> list[ToKafka]:
    """What goes to Kafka for a chunk of these entries; the same however often it is asked for."""
    router = Router(plan_of(folder, filters + KAFKA.format("logs")), "here")
    converter = Converter("accumulator1", "inc", router, "dead-letters")
    body = b"".join(entries)
    chunk = Stored(1, NOW, len(entries), "t", b"", "", False, body, 0, len(body))
    found = list(converter.outgoing(chunk))
    assert found == list(converter.outgoing(chunk))
    assert all(isinstance(item, ToKafka) for item in found)
    return [item for item in found if isinstance(item, ToKafka)]


def test_an_event_that_a_filter_refuses_is_a_dead_letter_in_its_place(tmp_path: Path) -> None:
    first, second, third = sent(tmp_path, parser(""), {"log": '{"a": 1}'}, {"log": "{"}, {"log": '{"a": 3}'})
    assert [first.topic, second.topic, third.topic] == ["logs", "dead-letters", "logs"]
    headers = dict(second.headers)
    assert json.loads(second.value) == {"log": "{"}
    assert headers["reason"] == b"filter"
    assert headers["detail"].startswith(b"filter parser: log: no JSON")
    positions = [coordinates.decode(item.headers[0][1]).position for item in (first, second, third)]
    assert positions == [0, 1, 2]


def test_the_time_that_a_filter_gives_goes_out_with_the_coordinates(tmp_path: Path) -> None:
    changed, kept = sent(tmp_path, parser("reserve_data"), {"log": '{"t": 9}'}, {"log": "{"})
    assert coordinates.decode(changed.headers[0][1]).event_ns == 9_000_000_000
    assert coordinates.decode(kept.headers[0][1]).event_ns == THEN


EVERYTHING = (
    '<filter **>\n@type record_transformer\nremove_keys $.a.b\n<record>\nx ${record["a"]}\ny <${record["b"]}>\n'
    + "</record>\n</filter>\n"
    + parser("reserve_data\nremove_key_name_field", "@type json\ntypes a:integer,b:time,c:bool").replace("log", "a")
    + "<filter **>\n@type record_transformer\nrenew_time_key c\n</filter>\n"
)


@given(
    record=st.dictionaries(st.sampled_from("abc"), JSON | st.sampled_from(['{"a": 1}', '{"c": "12.5"}']), max_size=3)
)
def test_any_record_is_sent_or_set_aside_the_same_every_time(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, object]
) -> None:
    (item,) = sent(tmp_path_factory.mktemp("any"), EVERYTHING, record)
    if item.topic == "dead-letters":
        assert json.loads(item.value) == record
    else:
        assert "x" in json.loads(item.value)


def test_tags_without_end_share_one_parser(tmp_path: Path) -> None:
    router = Router(plan_of(tmp_path, parser("", "@type none") + KAFKA.format("logs")), "here")
    steps = {id(router.routes(None, f"tag{n}")._changing._steps[0]) for n in range(50)}  # type: ignore[union-attr]
    assert len(steps) == 1
