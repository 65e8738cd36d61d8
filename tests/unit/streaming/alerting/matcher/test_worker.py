"""One round of the matcher, without Kafka."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Message, TopicPartition

from streaming.alerting.matcher import worker as matching
from streaming.alerting.matcher.ends import End
from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.intake import Intake
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.pace import Pace
from streaming.alerting.matcher.reached import Reached
from streaming.alerting.matcher.worker import WAIT_S, Matcher, _encoded
from streaming.alerting.messages import Recovery
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.settings import Settings
from tests.support.fake_message import fake_message


class Error:
    """An ERROR, as Kafka hands it out."""

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "logs"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def headers(self) -> None:
        return None

    def value(self) -> bytes:
        return json.dumps({"level": "ERROR", "message": "it broke"}).encode()

    def timestamp(self) -> tuple[int, int]:
        return (2, 1)


class Nothing:
    """Rules that did not change, and a consumer that gives up its partition when closed."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    def changed(self) -> bool:
        return False

    def transaction(self) -> None:
        pytest.fail("offsets of what was not evaluated were committed")

    def close(self) -> None:
        self._matcher._on_revoke(self, [])  # type: ignore[arg-type]


def test_a_log_that_could_not_be_evaluated_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_a_bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(matching, "take", lambda *_: [Error()])
    monkeypatch.setattr(Evaluation, "take", has_a_bug)
    matcher = Matcher.__new__(Matcher)
    nothing = Nothing(matcher)
    matcher._rules = matcher._in = matcher._out = nothing  # type: ignore[assignment]
    matcher._marks, matcher._reached, matcher._owned = Marks(), Reached(), {0}
    matcher._intake, matcher._evaluation = Intake(matcher._marks, matcher._reached), Evaluation(RuleSet())
    matcher._failed, matcher._rewound, matcher._wait_s = False, set(), 0.0
    with pytest.raises(ZeroDivisionError):
        matcher.run_once()
    matcher.close()


def test_a_finding_that_cannot_be_written_is_dropped_and_others_go_on() -> None:
    good = Recovery(rule_id="r", group={"service.name": "s"}, received_ms=1, reason="over")
    bad = Recovery(rule_id="r", group={"service.name": "\udcff"}, received_ms=1, reason="over")
    assert [_encoded(one) is not None for one in (bad, good)] == [False, True]


class Rebalanced:
    """A consumer with committed offsets that remembers where it was sent."""

    def __init__(self) -> None:
        self.sought: list[tuple[int, int]] = []

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, 40 + at.partition) for at in asked]

    def seek(self, at: TopicPartition) -> None:
        self.sought.append((at.partition, at.offset))


def test_what_was_fetched_before_a_rebalance_rewound_its_partition_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And only that: nothing sends the other partitions back."""
    matcher, source = Matcher.__new__(Matcher), Rebalanced()
    matcher._in, matcher._settings = source, Settings()  # type: ignore[assignment]
    matcher._marks, matcher._reached = Marks(), Reached()
    matcher._intake, matcher._evaluation = Intake(matcher._marks, matcher._reached), Evaluation(RuleSet())
    matcher._owned, matcher._rewound, matcher._wait_s = {0, 1, 2}, {2}, 0.0
    matcher._intake.offsets.update({0: 45, 2: 45})
    monkeypatch.setattr(matching, "read_all", lambda *_, **__: {})
    fetched = [fake_message(b"x", partition=partition) for partition in (0, 1, 2)]

    def rebalances(*_: object) -> list[Message]:
        matcher._drop([2])
        return fetched

    monkeypatch.setattr(matching, "take", rebalances)
    assert [message.partition() for message in matcher._read()] == [1, 2]
    assert source.sought == [(0, 40), (0, 40)], "the second time behind what was fetched meanwhile"
    monkeypatch.setattr(matching, "take", lambda *_: fetched)
    assert matcher._read() == fetched


class Quiet:
    """Takes what a round looks at beside its logs."""

    awaited = False

    def changed(self) -> bool:
        return False

    def look(self, *, read: bool) -> None: ...

    def answers(self) -> list[End]:
        return []

    def ask(self, partitions: list[int], at_ms: int) -> None: ...


def test_what_fires_right_after_a_commit_does_not_wait_for_another_log(monkeypatch: pytest.MonkeyPatch) -> None:
    matcher, quiet = Matcher.__new__(Matcher), Quiet()
    rules = load_texts(
        [(Path("x"), "rules: [{id: e, kind: match, where: {levels: [ERROR]}, title: t, severity: error}]")]
    )
    matcher._rules = matcher._ends = matcher._probe = matcher._in = quiet  # type: ignore[assignment]
    matcher._marks, matcher._reached, matcher._owned = Marks(), Reached(), {0}
    matcher._intake, matcher._evaluation = Intake(matcher._marks, matcher._reached), Evaluation(rules)
    matcher._failed, matcher._rewound, matcher._wait_s, matcher._ask_at = False, set(), WAIT_S, 0.0
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    matcher._pace = Pace(now)
    matcher._pace.committed(now - 0.01, now, 1)
    came: list[list[Error]] = [[Error()], []]
    waited: list[float] = []
    committed: list[float] = []

    def takes(_: object, __: int, timeout_s: float) -> list[Error]:
        waited.append(timeout_s)
        return came.pop(0)

    monkeypatch.setattr(matching, "take", takes)
    monkeypatch.setattr(matcher, "_commit_or_rewind", lambda: committed.append(now))
    matcher.run_once()
    assert committed == [], "it is too soon"
    now += 0.03
    matcher.run_once()
    assert waited == [WAIT_S, pytest.approx(0.02)], "twice the length of the commit"
    assert committed == [now]
