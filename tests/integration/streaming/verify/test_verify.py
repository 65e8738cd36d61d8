"""`vigil verify` on real servers: silent while nothing is lost, exact when something is."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import msgspec
import pytest
import typer
from typer.testing import CliRunner

from infra.local.isolated import as_environment
from streaming.accumulator.delivery import ledger, secondary
from streaming.accumulator.delivery.ledger import Draft, Entry
from streaming.accumulator.delivery.outgoing import ToFile
from streaming.cli.secondary import secondary_app
from streaming.cli.verify import verify as command
from streaming.events.coordinates import HEADER, Coordinates, encode
from streaming.forward.sender import Chunk, make_chunk
from streaming.kafka import clients
from streaming.kafka.topics import LEDGER
from streaming.reindex.begin import parse_begin
from streaming.reindex.run import reindex
from streaming.verify import Report, Verdict, verify
from tests.integration.streaming.verify.conftest import EVENT_NS, log_line
from tests.support.groups import lag

if TYPE_CHECKING:
    from tests.integration.streaming.verify.conftest import Pipeline


def total(report: Report, topic: str, field: str) -> int:
    return sum(getattr(p, field) for p in report.partitions if p.topic.endswith(topic))


def explain(report: Report) -> str:
    return json.dumps(report.as_json(), indent=1)[:6000]


def test_nothing_is_lost_by_kills_and_what_is_deleted_by_hand_is_named(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is not lost: a log_id twice with the same record, beats, what nobody can read, what has no form.
    pipeline.send(*(log_line(n) for n in range(500)))
    pipeline.send(log_line(7), {"node_id": "n", "message_type": "HEARTBEAT", "status": "UP"}, {})
    sender = pipeline.sender()
    body = msgpack.packb("no event") + msgpack.packb([1, log_line(600)])
    sender.send_nowait(Chunk("odd", 2, msgpack.packb(["app", body, {"chunk": "odd"}])))
    # Everything dies while more comes in.
    stop = threading.Event()
    sent = 1000

    def keep_sending() -> None:
        nonlocal sent
        while not stop.is_set():
            sender.send_nowait(make_chunk("app", [(EVENT_NS, log_line(n)) for n in range(sent, sent + 50)]))
            sent += 50
            stop.wait(0.02)
        sender.drain()
        sender.close()

    thread = threading.Thread(target=keep_sending)
    thread.start()
    try:
        for _ in range(2):
            begin = sent
            pipeline.wait(lambda b=begin: sent > b + 1000, 60, "more is sent")  # type: ignore[misc]
            pipeline.kill()
            pipeline.start_accumulator()
            pipeline.start_indexer()
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    pipeline.settled()
    marked_ms = int(time.time() * 1000)

    report = verify(pipeline.settings)
    assert report.verdict is Verdict.PROVEN, explain(report)
    (account,) = report.accounts
    assert account.events == 500 + 3 + 2 + sent - 1000
    assert account.in_kafka[pipeline.settings.topic("logs")] == 500 + 2 + 1 + sent - 1000
    assert account.in_kafka[pipeline.settings.topic("heartbeats")] == 1
    assert account.in_kafka[pipeline.settings.topic("dead-letters")] == 1
    assert total(report, "logs", "records") == sum(
        total(report, "logs", f) for f in ("indexed", "duplicates", "dead_lettered")
    )
    assert total(report, "logs", "indexed") == 500 + 1 + sent - 1000
    assert total(report, "logs", "duplicates") >= 1
    assert total(report, "logs", "dead_lettered") >= 1
    assert total(report, "dead-letters", "indexed") == 2

    # Two are deleted by hand; under its own record, another's document does not stand in for one.
    log = pipeline.one_document("logs", {"term": {"vigil.log_id": "l123"}})
    letter = pipeline.one_document("dead-letters", {"term": {"dead_letter.reason": "malformed-event"}})
    pipeline.delete(*log[:2])
    pipeline.delete(*letter[:2])
    report = verify(pipeline.settings)
    assert report.verdict is Verdict.LOST
    named = {(one.kind, one.source) for one in report.lost}
    assert named == {
        ("log", log[2]["vigil"]["source"]),  # type: ignore[index]
        ("dead letter (malformed-event)", letter[2]["vigil"]["source"]),  # type: ignore[index]
    }
    assert {one.service for one in report.lost} == {"payment", ""}
    assert (report.missing, report.gaps, report.unsure) == ([], [], [])

    for name, value in as_environment(pipeline.settings).items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(_app(), ["--json"])
    assert said.exit_code == 1, said.output
    assert {one["source"] for one in json.loads(said.stdout)["lost"]} == {source for _, source in named}
    shown = CliRunner().invoke(_app(), [])
    assert all(source in shown.stdout for _, source in named)
    assert "LOST: 2 events" in shown.stdout

    # What came later is not concerned; and an earlier run is taken up before its first loss.
    later = verify(pipeline.settings, marked_ms)
    assert (later.verdict, total(later, "logs", "records")) == (Verdict.PROVEN, 0), explain(later)
    assert later.records_read < 20, "signs of life in the ledger alone"
    again = verify(pipeline.settings, resume=True)
    assert {(one.kind, one.source) for one in again.lost} == named
    assert again.records_read < report.records_read
    pipeline.put_back(*log)
    pipeline.put_back(*letter)
    assert verify(pipeline.settings, resume=True).verdict is Verdict.PROVEN
    pipeline.send(log_line(5))
    pipeline.settled()
    last = verify(pipeline.settings, resume=True)
    assert last.verdict is Verdict.PROVEN, explain(last)
    assert [a.chunks for a in last.accounts] == [1]


def test_what_the_ledger_says_and_kafka_does_not_hold_is_named(pipeline: Pipeline) -> None:
    pipeline.send(log_line(1), log_line(2))
    pipeline.settled()
    topic = pipeline.settings.topic("logs")
    draft = Draft(1)
    now_ns = time.time_ns()
    for sequence, events in ((1, 2), (2, 3)):
        draft.add(Entry(sequence, events, topic, {}), now_ns)
    draft.add(Entry(3, 4, "", {topic: "0 2", "<secondary>": "1 3"}), now_ns)
    writer = clients.producer(pipeline.settings.kafka)
    page = draft.page("accumulator9", "deadbeef", 8, now_ns)
    writer.produce(pipeline.settings.topic(LEDGER), ledger.encode(page), page.key)
    late = Draft(6)
    late.add(Entry(6, 1, topic, {}), now_ns)
    writer.produce(pipeline.settings.topic(LEDGER), ledger.encode(late.page("accumulator9", "deadbeef", 8, now_ns)))
    assert writer.flush(10) == 0
    report = verify(pipeline.settings)
    assert report.verdict is Verdict.LOST
    assert [str(m) for m in report.missing] == [
        "accumulator9.deadbeef:1-2",
        "accumulator9.deadbeef:3:0,2",
        "accumulator9.deadbeef:6",
    ]
    assert [str(g) for g in report.gaps] == ["accumulator9.deadbeef:4-5 (not in the ledger)"]
    assert [a.elsewhere for a in report.accounts if a.key.startswith("accumulator9")] == [{"secondary": 2}]
    assert [a.backlog_chunks for a in report.accounts if a.key.startswith("accumulator9")] == [1]
    assert report.lost == []


def test_a_day_that_was_made_anew_and_what_came_back_from_a_secondary_file_are_proven(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.send(log_line(1), log_line(2))
    place = Coordinates("accumulator2", "0badcafe", 5, 3, time.time_ns(), 0, "app")
    topic = pipeline.settings.topic("logs")
    item = ToFile(None, topic, b"node-1", msgspec.json.encode(log_line(3)), encode(place), "kafka-away")
    file = secondary.write(tmp_path / "undelivered", [item])
    for name, value in as_environment(pipeline.settings).items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(secondary_app, ["replay", str(file.parent), "--json"])
    assert (said.exit_code, json.loads(said.stdout)) == (0, {"files": 1, "events": 1})
    assert not file.exists()
    pipeline.settled()
    name, _, found = pipeline.one_document("logs", {"term": {"vigil.log_id": "l3"}})
    assert found["vigil"]["source"] == place.key  # type: ignore[index]

    made = reindex(pipeline.settings, parse_begin("earliest", 0), lambda _what, _done, _of: None)
    assert [(one.name, one.index) for one in made.indices] == [(name, f"{name}-r1")]
    # A record whose document lies under another offset, so that it is asked for by name, through the alias.
    again = clients.producer(pipeline.settings.kafka)
    again.produce(topic, item.value, item.key, headers=[(HEADER, item.header)])
    assert again.flush(10) == 0
    pipeline.settled()
    report = verify(pipeline.settings)
    assert report.verdict is Verdict.PROVEN, explain(report)
    assert (total(report, "logs", "indexed"), total(report, "logs", "duplicates")) == (3, 1)


def test_documents_of_a_topic_that_was_made_anew_are_known_and_stand_in_for_no_other(pipeline: Pipeline) -> None:
    pipeline.send(log_line(1), log_line(2), log_line(3))
    pipeline.settled()
    old = pipeline.one_document("logs", {"term": {"vigil.log_id": "l1"}})
    pipeline.stop()
    topic = pipeline.settings.topic("logs")
    pipeline.make_anew(topic)
    # Three records at the offsets of the three before, of the same nodes and so the same partitions.
    out = clients.producer(pipeline.settings.kafka)
    for number in (1, 2, 3):
        place = Coordinates("accumulator3", "0badcafe", 1, number, time.time_ns(), 0, "app")
        value = msgspec.json.encode(log_line(number, message="another"))
        out.produce(topic, value, f"node-{number}", headers=[(HEADER, encode(place))])
    assert out.flush(10) == 0
    pipeline.start_indexer()
    pipeline.wait(lambda: lag(pipeline.settings, "logs", "indexer") == 0, 60, "the new records are indexed")
    report = verify(pipeline.settings)
    assert report.verdict is Verdict.PROVEN, explain(report)
    assert total(report, "logs", "indexed") == 3
    assert [a.in_elasticsearch_only for a in report.accounts] == [3]
    new = pipeline.one_document("logs", {"term": {"vigil.source": "accumulator3.0badcafe:1:1"}})
    assert _offset(new[2]) == _offset(old[2])
    pipeline.delete(*new[:2])
    assert [one.source for one in verify(pipeline.settings).lost] == ["accumulator3.0badcafe:1:1"]
    pipeline.delete(*old[:2])
    found = verify(pipeline.settings)
    assert [(str(m), m.events) for m in found.missing] == [(str(found.missing[0]), 1)]


def _offset(document: dict[str, object]) -> object:
    return document["vigil"]["kafka"]  # type: ignore[index]


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app
