"""One round of the manager, without Kafka."""

from __future__ import annotations

import time
from typing import cast

import msgspec
from confluent_kafka import Message

from streaming.alerting.engine import Engine
from streaming.alerting.incidents import Book
from streaming.alerting.manager.worker import BATCH, Manager
from streaming.alerting.messages import Action, Candidate, Sample, Severity
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level
from streaming.kafka import topics
from streaming.worker.clock import StepWatch


class Record:
    """What the manager asks of a message."""

    def __init__(self, candidate: Candidate) -> None:
        self._value = msgspec.json.encode(candidate)

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
    manager._book, manager._engine = Book(), Engine(RuleSet(rules=()))
    manager._names, manager._settled_at, manager._steps = {topics.CANDIDATES: topics.CANDIDATES}, 0.0, StepWatch()
    manager._book.candidate(candidate("quiet"), int(time.time() * 1000) - 3_600_000)
    return manager


def actions(manager: Manager, records: int) -> list[Action]:
    found = manager._decide([cast(Message, Record(candidate("loud")))] * records)
    return [told.action for told in found.notifications]


def test_what_is_quiet_resolves_while_others_are_loud() -> None:
    assert actions(manager_with_a_quiet_incident(), 1) == [Action.OPEN, Action.RESOLVE]


def test_time_stands_still_while_input_waits() -> None:
    assert actions(manager_with_a_quiet_incident(), BATCH) == [Action.OPEN]
