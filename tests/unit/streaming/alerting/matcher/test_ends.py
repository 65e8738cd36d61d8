"""Where partitions end, asked without waiting."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from streaming.alerting.matcher.ends import End, Ends
from streaming.kafka import bounds, clients
from streaming.kafka.access import KafkaAccess

Answers = dict[TopicPartition, Future[SimpleNamespace]]


class Admin:
    """Keeps the questions; the test answers them."""

    def __init__(self) -> None:
        self.open: list[tuple[OffsetSpec, Answers]] = []

    def list_offsets(
        self, asked: dict[TopicPartition, OffsetSpec], *, isolation_level: IsolationLevel, request_timeout: float
    ) -> Answers:
        assert isolation_level is IsolationLevel.READ_COMMITTED
        assert request_timeout > 0
        answers: Answers = {place: Future() for place in asked}
        self.open.append((next(iter(asked.values())), answers))
        return answers

    def answer(self, partition: int, first: int, end: int) -> None:
        for spec, answers in self.open:
            for place, future in answers.items():
                if place.partition == partition:
                    future.set_result(SimpleNamespace(offset=first if spec is bounds.START else end))

    def refuse(self, partition: int) -> None:
        for _, answers in self.open:
            for place, future in answers.items():
                if place.partition == partition:
                    future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    made = Admin()
    monkeypatch.setattr(clients, "admin", lambda _: made)
    return made


def test_nothing_waits_for_an_answer(admin: Admin) -> None:
    ends = Ends(KafkaAccess("somewhere"), "logs")
    ends.ask([1, 4], 700)
    assert ends.awaited
    assert ends.answers() == []
    admin.answer(4, 3, 9)
    assert ends.answers() == [End(4, 3, 9, 700)]
    assert ends.awaited
    admin.answer(1, 0, 2)
    assert ends.answers() == [End(1, 0, 2, 700)]
    assert not ends.awaited


def test_where_no_partition_is_idle_nothing_is_asked(admin: Admin) -> None:
    ends = Ends(KafkaAccess("somewhere"), "logs")
    ends.ask([], 700)
    assert not ends.awaited
    assert admin.open == []


def test_without_an_answer_the_others_count_and_it_is_said_once(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = Ends(KafkaAccess("somewhere"), "logs")
    for at_ms in (700, 1_700):
        admin.open.clear()
        ends.ask([1, 2], at_ms)
        admin.refuse(1)
        admin.refuse(2)
        assert ends.answers() == []
        assert not ends.awaited
    admin.open.clear()
    ends.ask([1, 2], 2_700)
    admin.refuse(1)
    admin.answer(2, 0, 5)
    assert ends.answers() == [End(2, 0, 5, 2_700)]
