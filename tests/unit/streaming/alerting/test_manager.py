"""One round of the manager, without Kafka."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from confluent_kafka import Message

from streaming.alerting.desk import Desk
from streaming.alerting.manager.inputs import TOPICS, read_input
from streaming.alerting.manager.worker import BATCH, TICK_EVERY_S, Manager
from streaming.alerting.messages import Action, Candidate, Sample, Severity
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.source import RuleSource
from streaming.events.model import Level
from streaming.kafka import topics
from streaming.worker.clock import StepWatch


class Record:
    """What the manager asks of a message."""

    def __init__(self, candidate: Candidate | bytes) -> None:
        self._value = candidate if isinstance(candidate, bytes) else msgspec.json.encode(candidate)

    def offset(self) -> int:
        return 7

    def topic(self) -> str:
        return topics.CANDIDATES

    def value(self) -> bytes:
        return self._value


def candidate(group: str) -> Candidate:
    return Candidate(
        rule_id="r",
        group={"service.name": group},
        severity=Severity.ERROR,
        title="t",
        count=1,
        first_ms=0,
        last_ms=0,
        received_ms=0,
        sample=Sample(timestamp_ms=0, level=Level.ERROR, message="m", service=group, node_id="n"),
        resolve_after_s=60,
    )


def manager_with_a_quiet_incident() -> Manager:
    manager = Manager.__new__(Manager)
    manager._desk = Desk(RuleSet())
    manager._rules = cast(RuleSource, SimpleNamespace(rules=manager._desk.rules))
    manager._names, manager._settled_at, manager._steps = {topics.CANDIDATES: topics.CANDIDATES}, 0.0, StepWatch()
    manager._ticked_at = time.monotonic()
    manager._desk.book.candidate(candidate("quiet"), int(time.time() * 1000) - 3_600_000)
    return manager


def actions(manager: Manager, records: int) -> list[Action]:
    found = manager._decide([cast(Message, Record(candidate("loud")))] * records)
    return [told.action for told in found.notifications]


def test_what_is_quiet_resolves_while_others_are_loud() -> None:
    assert actions(manager_with_a_quiet_incident(), 1) == [Action.OPEN, Action.RESOLVE]


def test_time_stands_still_while_input_waits_but_not_for_long() -> None:
    manager = manager_with_a_quiet_incident()
    assert actions(manager, BATCH) == [Action.OPEN]
    manager._ticked_at -= TICK_EVERY_S
    assert actions(manager, BATCH) == [Action.RESOLVE]
    manager._desk.book.candidate(candidate("other"), int(time.time() * 1000) - 3_600_000)
    assert Action.RESOLVE not in actions(manager, BATCH), "it has just passed"


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b"{}", b'{"author":"\xff"}', b'{"\xff":1}'])
def test_a_record_that_cannot_be_read_leads_to_nothing(topic: str, value: bytes) -> None:
    """Anyone who may write to its topics could else stop every alert."""
    record = cast(Message, Record(value))
    assert read_input(topic, record) is None
