"""What a chunk becomes: routes, keys, coordinates, what is too large, and what the ledger is told of each event."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.ledger import NOWHERE, SECONDARY, STDOUT, Fates, ranges_of
from streaming.accumulator.delivery.outgoing import (
    DEAD_LETTER_LIMIT,
    RECORD_LIMIT,
    RUN_LENGTH,
    Again,
    Converter,
    Outgoing,
    Piece,
    Run,
    Step,
    ToFile,
    ToKafka,
    piece_of,
)
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.delivery.truncation import TRUNCATED
from streaming.accumulator.spool.segment import Stored
from streaming.events import coordinates
from streaming.forward import event_time
from streaming.forward.walk import VALUES_LIMIT
from streaming.settings import CHECKOUT

KAFKA = "@type kafka2\nbrokers k:1\ndefault_topic {}\n"


def entry(record: object, time: object = 1) -> bytes:
    return bytes(msgpack.packb([time, record]))


@functools.cache
def converter() -> Converter:
    plan = load_plan(CHECKOUT / "fluentd" / "fluent2.conf", {"VIGIL_SPOOL_DIR": "/spool"})
    return Converter("accumulator2", "0badcafe", Router(plan), "dead-letters", plan.kafka_outputs())


def of(tmp_path: Path, matches: str) -> Converter:
    conf = tmp_path / "a.conf"
    conf.write_text(f"<source>\n@type forward\n</source>\n{matches}")
    plan = load_plan(conf, {})
    return Converter("accumulator1", "0badcafe", Router(plan), "dead-letters", plan.kafka_outputs())


def stored(body: bytes, tag: str = "app", sequence: int = 5) -> Stored:
    return Stored(sequence, 1_000, 1, tag, b"", "", False, body, 0, 0)


def records(found: list[Outgoing]) -> list[ToKafka]:
    return [item for item in found if isinstance(item, ToKafka)]


EVENTS = st.fixed_dictionaries(
    {"message_type": st.sampled_from(["LOG", "HEARTBEAT", "heartbeat", "REGISTRATION", 7])},
    optional={
        "node_id": st.one_of(st.text(max_size=3), st.integers(0, 9), st.none()),
        "message": st.one_of(st.text(max_size=5), st.sampled_from([3_900, 5_000]).map("x".__mul__), st.binary()),
    },
)


@given(st.lists(st.tuples(EVENTS, st.integers(1, 300)), max_size=6), st.text(max_size=5))
def test_runs_are_what_each_event_becomes_alone(kinds: list[tuple[dict[str, object], int]], tag: str) -> None:
    body = b"".join(entry(record) * times for record, times in kinds) + entry("no event") + entry({"a": 1})
    alone_fates, fates = Fates(), Fates()
    alone = list(converter().outgoing(stored(body, tag), alone_fates, lambda _: False))
    runs = list(converter().runs(stored(body, tag), fates))
    assert list(converter().outgoing(stored(body, tag))) == alone
    assert fates.entry(5) == alone_fates.entry(5)
    whole = [item for item in runs if isinstance(item, Run)]
    assert sum(len(run.records) for run in whole) + len(runs) - len(whole) == len(alone)
    assert all(0 < len(run.records) <= RUN_LENGTH for run in whole)


@given(tag=st.text(max_size=10), time_ns=st.integers(0, 2**32 * 10**9 - 1), sequence=st.integers(1, 2**63))
def test_coordinates_are_those_of_the_event_model(tag: str, time_ns: int, sequence: int) -> None:
    body = entry({"a": 1}) + entry({"a": 2}, event_time.encode(time_ns))
    _, second = converter().outgoing(stored(body, tag, sequence))
    assert isinstance(second, ToKafka)
    expected = coordinates.Coordinates("accumulator2", "0badcafe", sequence, 1, 1_000, time_ns, tag)
    assert second.headers == [(coordinates.HEADER, coordinates.encode(expected))]


@pytest.mark.parametrize("length", [0, 7, 9, 5_000])
def test_a_binary_in_the_place_of_the_time_is_no_time(length: int) -> None:
    """As a number it has more digits than Python writes, and the accumulator would end at it again and again."""
    chunk = stored(entry({"a": 1}, b"\xff" * length))
    (sent,) = converter().outgoing(chunk)
    assert isinstance(sent, ToKafka)
    assert coordinates.decode(sent.headers[0][1]).event_ns == 0


@pytest.mark.parametrize(
    ("node_id", "key"), [("n-1", b"n-1"), (7, b"7"), ("", None), (None, None), (True, b"true"), ("é", "é".encode())]
)
def test_the_key_is_the_node_id_as_text(node_id: object, key: bytes | None) -> None:
    (record,) = converter().outgoing(stored(entry({"node_id": node_id})))
    assert isinstance(record, ToKafka)
    assert (record.topic, record.key) == ("logs", key)


def test_each_event_goes_to_its_topic() -> None:
    body = entry({"message_type": "HEARTBEAT"}) + entry({"message": "x"}) + entry({"message_type": "registration"})
    fates = Fates()
    assert [r.topic for r in records(list(converter().outgoing(stored(body), fates)))] == [
        "heartbeats",
        "logs",
        "registrations",
    ]
    assert fates.entry(5) == (5, 3, "", {"heartbeats": "0", "logs": "1", "registrations": "2"})


def test_a_line_of_a_megabyte_passes_and_a_larger_one_is_cut_and_kept_whole_among_the_dead_letters() -> None:
    (passes,) = converter().outgoing(stored(entry({"message": "x" * 1_000_000})))
    assert isinstance(passes, ToKafka)
    assert passes.topic == "logs"
    record = {"node_id": "n", "log_level": "ERROR", "message": "é" * RECORD_LIMIT, "stack": "s" * 1000}
    fates = Fates()
    cut, whole, behind = records(list(converter().outgoing(stored(entry(record) + entry({"m": "small"})), fates)))
    assert (cut.topic, cut.key, whole.topic, behind.topic) == ("logs", b"n", "dead-letters", "logs")
    said = json.loads(cut.value)
    assert said[TRUNCATED] == len(whole.value)
    assert len(cut.value) + len(cut.headers[0][1]) + 1 <= RECORD_LIMIT
    assert record["message"].startswith(said.pop("message"))
    assert said == {"node_id": "n", "log_level": "ERROR", "stack": "s" * 1000, TRUNCATED: len(whole.value)}
    assert json.loads(whole.value) == record
    headers = dict(whole.headers)
    assert (headers["reason"], headers["topic"]) == (b"too-large", b"logs")
    assert headers[coordinates.HEADER] == cut.headers[0][1]
    assert fates.entry(5).fates == {"logs": "0-1", "dead-letters": "0"}


def test_what_is_too_large_even_for_the_dead_letters_goes_to_a_file_and_is_cut_for_its_topic() -> None:
    fates = Fates()
    cut, file = converter().outgoing(stored(entry({"message": "x" * DEAD_LETTER_LIMIT})), fates)
    assert isinstance(cut, ToKafka)
    assert isinstance(file, ToFile)
    assert (file.folder, file.topic, file.reason) == ("/spool/undelivered", "logs", "too-large")
    assert fates.entry(5).fates == {"logs": "0", SECONDARY: "0"}


def test_a_broken_entry_and_a_tag_without_a_match_go_to_the_dead_letters(tmp_path: Path) -> None:
    (broken,) = converter().outgoing(stored(msgpack.packb("no event")))
    assert isinstance(broken, ToKafka)
    assert (broken.topic, dict(broken.headers)["reason"]) == ("dead-letters", b"malformed-event")
    (many,) = converter().outgoing(stored(entry({"list": [0] * VALUES_LIMIT})))
    assert isinstance(many, ToKafka)
    assert dict(many.headers)["reason"] == b"too-many-values"
    narrow = of(tmp_path, f"<match a>\n{KAFKA.format('logs')}</match>\n")
    fates = Fates()
    (lost,) = narrow.outgoing(stored(entry({"a": 1}), tag="b"), fates)
    assert isinstance(lost, ToKafka)
    assert (lost.topic, dict(lost.headers)["reason"]) == ("dead-letters", b"no-route")
    assert fates.entry(5) == (5, 1, "dead-letters", {})


def test_a_chunk_whose_gzip_cannot_be_read_is_one_dead_letter() -> None:
    fates = Fates()
    (lost,) = converter().outgoing(stored(b"not gzip")._replace(gzip=True), fates)
    assert isinstance(lost, ToKafka)
    assert (lost.value, dict(lost.headers)["reason"]) == (b"not gzip", b"malformed-chunk")
    assert fates.entry(5) == (5, 1, "dead-letters", {})


def test_the_ledger_is_told_of_copies_filters_null_and_standard_output(tmp_path: Path) -> None:
    made = of(
        tmp_path,
        "<filter a>\n@type grep\n<exclude>\nkey drop\npattern /yes/\n</exclude>\n</filter>\n"
        f"<match a>\n@type copy\n<store>\n{KAFKA.format('one')}</store>\n<store>\n{KAFKA.format('two')}</store>\n"
        "<store>\n@type stdout\n</store>\n</match>\n<match b>\n@type null\n</match>\n",
    )
    fates = Fates()
    body = entry({"n": 0}) + entry({"drop": "yes"}) + entry({"n": 2})
    assert Counter(r.topic for r in records(list(made.outgoing(stored(body, "a"), fates)))) == {"one": 2, "two": 2}
    assert fates.entry(5).fates == {"one": "0 2", "two": "0 2", STDOUT: "0 2", NOWHERE: "1"}
    nothing = Fates()
    assert list(made.outgoing(stored(body, "b"), nothing)) == []
    assert nothing.entry(5) == (5, 3, "", {NOWHERE: "0-2"})


def test_what_has_waited_too_long_for_kafka_goes_to_the_secondary() -> None:
    fates = Fates()
    body = entry({"message_type": "heartbeat", "node_id": "n"}) + entry({"message": "x"})
    found = list(converter().outgoing(stored(body), fates, lambda output: output.topic == "logs"))
    assert [(type(i), i.topic) for i in found if isinstance(i, ToKafka | ToFile)] == [
        (ToKafka, "heartbeats"),
        (ToFile, "logs"),
    ]
    assert fates.entry(5).fates == {"heartbeats": "0", SECONDARY: "1"}


# ------------------------------------------------------------------------------- what Kafka has refused


def refuse(chunk: Stored, fates: Fates, piece: Piece, again: Again) -> tuple[Piece, Outgoing]:
    (found,) = converter().again(chunk, {piece: again}, fates)
    return found


def test_a_refused_event_goes_again_then_to_the_dead_letters_then_to_a_file() -> None:
    chunk, fates = stored(entry({"node_id": "a"}) + entry({"node_id": "b"})), Fates()
    first = records(list(converter().outgoing(chunk, fates)))[1]
    piece = piece_of(dict(first.headers), first.topic)
    assert piece == Piece(1, "logs", letter=False)
    assert refuse(chunk, fates, piece, Again(Step.AGAIN)) == (piece, first)

    piece, letter = refuse(chunk, fates, piece, Again(Step.LETTER, "refused:POLICY_VIOLATION"))
    assert isinstance(letter, ToKafka)
    assert (letter.topic, letter.value, piece.letter) == ("dead-letters", first.value, True)
    assert piece_of(dict(letter.headers), letter.topic) == piece
    assert dict(letter.headers)["reason"] == b"refused:POLICY_VIOLATION"
    assert fates.entry(5).fates == {"logs": "0", "dead-letters": "1"}

    assert refuse(chunk, fates, piece, Again(Step.AGAIN, "refused:POLICY_VIOLATION")) == (piece, letter)
    _, file = refuse(chunk, fates, piece, Again(Step.FILE, "refused:POLICY_VIOLATION"))
    assert isinstance(file, ToFile)
    assert (file.value, file.folder, file.header) == (first.value, "/spool/undelivered", first.headers[0][1])
    assert fates.entry(5).fates == {"logs": "0", SECONDARY: "1"}


def test_a_refused_dead_letter_of_the_converters_own_goes_to_a_file() -> None:
    chunk, fates = stored(msgpack.packb("no event") + entry({"m": 1})), Fates()
    letter, _ = records(list(converter().outgoing(chunk, fates)))
    piece = piece_of(dict(letter.headers), letter.topic)
    assert piece == Piece(0, "", letter=True)
    assert refuse(chunk, fates, piece, Again(Step.AGAIN, "x")) == (piece, letter)
    _, file = refuse(chunk, fates, piece, Again(Step.FILE, "x"))
    assert isinstance(file, ToFile)
    assert fates.entry(5).fates == {"logs": "1", SECONDARY: "0"}


# ------------------------------------------------------------------------------- the ledger's account is exact


@given(st.lists(st.sampled_from(["log", "beat", "hello", "broken", "large", "huge"]), min_size=1, max_size=12))
def test_fates_are_where_the_events_went(kinds: list[str]) -> None:
    bodies = {
        "log": entry({"message": "x"}),
        "beat": entry({"message_type": "heartbeat"}),
        "hello": entry({"message_type": "REGISTRATION"}),
        "broken": bytes(msgpack.packb("odd")),
        "large": entry({"message": "x" * 500}),
        "huge": entry({"message": "x" * 2000}),
    }
    fates, went = Fates(), Counter[tuple[str, int]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streaming.accumulator.delivery.outgoing.RECORD_LIMIT", 400)
        patch.setattr("streaming.accumulator.delivery.outgoing.DEAD_LETTER_LIMIT", 1000)
        for item in converter().outgoing(stored(b"".join(bodies[k] for k in kinds)), fates):
            assert isinstance(item, ToKafka | ToFile)
            header = item.header if isinstance(item, ToFile) else item.headers[0][1]
            place = SECONDARY if isinstance(item, ToFile) else item.topic
            went[place, coordinates.decode(header).position] += 1
    made = fates.entry(1)
    assert made.events == len(kinds)
    said: Counter[tuple[str, int]] = Counter()
    for place, places in (made.fates or {made.topic: f"0-{made.events - 1}"}).items():
        assert isinstance(places, str)
        said.update((place, p) for first, last in ranges_of(places) for p in range(first, last + 1))
    assert said == went
