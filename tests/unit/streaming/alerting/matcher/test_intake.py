"""Records to an evaluation: each once, the short way as the careful one."""

from __future__ import annotations

import json
from random import Random

import msgspec
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.intake import Intake
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.reached import Reached
from streaming.alerting.messages import Candidate
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.coordinates import HEADER, REPLAY_HEADER, Coordinates, Replay, encode, encode_replay
from streaming.kafka.records import read_record
from tests.support.fake_message import fake_message
from tests.support.random_rules import seeds

NOW_MS = 1_795_502_400_000
RULES = RuleSet.model_validate(
    {
        "rules": [
            {
                "id": "r",
                "kind": "match",
                "severity": "info",
                "title": "t",
                "where": {"levels": ["ERROR"]},
                "group_by": ["event.id"],
            }
        ]
    }
)


def value(log_id: str) -> bytes:
    return json.dumps(
        {
            "log_id": log_id,
            "node_id": "n",
            "log_level": "ERROR",
            "message_type": "LOG",
            "message": "m",
            "service_name": "s",
            "timestamp": "2026-11-24T06:40:00Z",
        }
    ).encode()


def header(random: Random) -> bytes:
    """Coordinates as accumulators write them, mostly of one chunk, and as nobody should."""
    at = Coordinates(
        random.choice(["a", "a", "a", "ä"]),
        random.choice(["i", "i", "i", ""]),
        random.choice([7, 7, 7, 6, 8]),
        random.randrange(6),
        random.choice([NOW_MS * 1_000_000] * 4 + [(NOW_MS - 5) * 1_000_000]),
        random.choice([0, 0, 5, -5]),
        random.choice(["t", "t", "t:u"]),
    )
    found = encode(at)
    if random.random() < 0.2:
        broken = [b"+3", b" 3", b"1_0", b"3" * 30, b"", b"x", b"\xff", "٣".encode()]
        parts = found.split(b":", 6)
        parts[random.randrange(7)] = random.choice(broken)
        return b":".join(parts[: random.choice([7, 7, 7, 3, 6])])
    return found


def some_messages(seed: int, count: int) -> list[Message]:
    random = Random(seed)
    made = []
    for offset in range(count):
        headers = [(HEADER, header(random))] if random.random() < 0.9 else []
        if random.random() < 0.1:
            headers.append((REPLAY_HEADER, encode_replay(Replay("r", random.randrange(1, 4)))))
        if random.random() < 0.05:
            headers.append(("other", b"1"))
        made.append(
            fake_message(
                value(f"l{offset}"),
                headers,
                topic="logs",
                partition=random.randrange(2),
                offset=offset,
                appended_ms=NOW_MS,
            )
        )
    return made


def fired(evaluation: Evaluation) -> list[tuple[str, str | None, int]]:
    return [
        (finding.group["event.id"], finding.sample.source, finding.received_ms)
        for finding in evaluation.findings()
        if isinstance(finding, Candidate)
    ]


@given(st.builds(some_messages, seeds, st.integers(1, 60)), st.integers(1, 70))
def test_a_record_is_new_whichever_way_its_coordinates_are_read(messages: list[Message], batch: int) -> None:
    marks = Marks()
    intake, evaluation = Intake(marks, Reached()), Evaluation(RULES)
    for begin in range(0, len(messages), batch):
        intake.take(messages[begin : begin + batch], {0, 1}, evaluation)
    plain, expected = Marks(), []
    for message in messages:
        record = read_record(message)
        if record.replay is not None:
            new = plain.passes_replayed(record.partition, record.replay)
        else:
            new = record.coordinates is None or plain.passes(record.partition, record.coordinates)
        if new:
            expected.append((f"l{record.offset}", record.source, record.received_ns // 1_000_000))
    assert sorted(fired(evaluation)) == sorted(expected)
    assert marks.moved(NOW_MS) == plain.moved(NOW_MS)
    assert (intake.read, intake.repeated) == (len(expected), len(messages) - len(expected))
    assert intake.offsets == {record.partition: record.offset + 1 for record in map(read_record, messages)}


def test_records_of_partitions_that_went_are_left() -> None:
    intake, evaluation = Intake(Marks(), Reached()), Evaluation(RULES)
    intake.take([fake_message(value("l"), partition=1, topic="logs")], {0}, evaluation)
    assert not evaluation
    assert intake.offsets == {}


def test_progress_is_that_of_the_last_record_but_not_after_it_was_appended() -> None:
    reached = Reached()
    intake, evaluation = Intake(Marks(), reached), Evaluation(RULES)
    wild = [(HEADER, encode(Coordinates("a", "i", 1, 0, 4 * 10**18, 0, "")))]
    late = [(HEADER, encode(Coordinates("a", "i", 1, 0, (NOW_MS - 60_000) * 1_000_000, 0, "")))]
    intake.take(
        [
            fake_message(value("l"), wild, partition=0, topic="logs", appended_ms=NOW_MS),
            fake_message(value("l"), late, partition=1, topic="logs", appended_ms=NOW_MS),
        ],
        {0, 1},
        evaluation,
    )
    assert reached.told() == {0: NOW_MS, 1: NOW_MS - 60_000}


def test_what_a_forged_header_names_can_be_written() -> None:
    """Encoding it failed within the transaction, after every restart again."""
    evaluation = Evaluation(RULES)
    intake = Intake(Marks(), Reached())
    place = encode(Coordinates("\udcfe", "i", 1, 0, NOW_MS * 1_000_000, 0, "app-\udcff"))
    intake.take([fake_message(b"ERROR it broke", headers=[(HEADER, place)])], {0}, evaluation)
    (found,) = evaluation.findings()
    assert isinstance(found, Candidate)
    assert found.sample.service == "app-\\udcff"
    assert msgspec.json.decode(msgspec.json.encode(found), type=Candidate) == found
