"""What a member that holds its records does when its server is away and its partitions come and go."""

from __future__ import annotations

from collections.abc import Callable, Set

import pytest
from confluent_kafka import Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.holding import HoldingConsumer, Place
from streaming.settings import Settings
from tests.support.fake_message import fake_message

A, B = ("a", 0), ("b", 0)


class FakeError:
    """An error of librdkafka."""

    def __init__(self, is_fatal: bool) -> None:
        self._is_fatal = is_fatal

    def fatal(self) -> bool:
        return self._is_fatal

    def str(self) -> str:
        return "broken"


class FakeFailure:
    """A message that is an error."""

    def __init__(self, *, is_fatal: bool) -> None:
        self._error = FakeError(is_fatal)

    def error(self) -> FakeError:
        return self._error


class FakeConsumer:
    """Two partitions with records; what is paused gives none."""

    def __init__(self) -> None:
        self.assigned = {A, B}
        self.paused: set[Place] = set()
        self.waiting: list[Message | FakeFailure] = []
        self.committed: dict[Place, int] = {}
        self.revoke: Callable[[object, list[TopicPartition]], None] = lambda *_: None

    def subscribe(
        self, _: list[str], on_assign: object, on_revoke: Callable[..., None], on_lost: Callable[..., None]
    ) -> None:
        assert on_revoke == on_lost
        self.revoke = on_revoke

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self.assigned]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(one.topic, one.partition) for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(one.topic, one.partition) for one in partitions}

    def poll(self, _: float) -> Message | FakeFailure | None:
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, count: int, _: float) -> list[Message | FakeFailure]:
        found, self.waiting = self.waiting[:count], self.waiting[count:]
        return found

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        self.committed |= {(one.topic, one.partition): one.offset for one in offsets}

    def lose(self, *places: Place) -> None:
        self.assigned -= set(places)
        self.revoke(self, [TopicPartition(*place) for place in places])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: made)
    return made


def holding(gone: list[Set[Place]], errors: list[str]) -> HoldingConsumer:
    return HoldingConsumer(Settings(), "g", ["a", "b"], on_gone=gone.append, on_error=errors.append)


def record(place: Place, offset: int) -> Message:
    return fake_message(b"", topic=place[0], partition=place[1], offset=offset)


def test_what_is_done_is_committed_behind_the_last_record(fake: FakeConsumer) -> None:
    member = holding([], [])
    fake.waiting = [record(A, 4), record(A, 5), record(B, 9)]
    assert len(member.take(10, 0)) == 3
    assert fake.committed == {}
    member.commit()
    assert fake.committed == {A: 6, B: 10}


def test_it_reads_nothing_while_it_holds_and_goes_on_with_all_partitions(fake: FakeConsumer) -> None:
    member = holding([], [])
    fake.assigned = {A}
    member.stay()
    fake.assigned = {A, B}
    fake.waiting = [record(B, 9)]
    assert [message.offset() for message in member.stay()] == [9], "it was under way"
    assert fake.paused == {A, B}, "also the one that came meanwhile"
    member.take(1, 0)
    assert fake.paused == set()
    member.commit()
    assert fake.committed == {B: 10}


def test_a_partition_that_goes_takes_its_own_along_and_leaves_the_others(fake: FakeConsumer) -> None:
    gone: list[Set[Place]] = []
    member = holding(gone, [])
    fake.waiting = [record(A, 4), record(B, 9)]
    member.take(10, 0)
    member.stay()
    fake.lose(A)
    assert gone == [{A}]
    member.commit()
    assert fake.committed == {B: 10}, "A is another's"
    member.take(1, 0)
    assert B not in fake.paused


def test_errors_that_pass_are_told_and_others_raised(fake: FakeConsumer) -> None:
    errors: list[str] = []
    member = holding([], errors)
    fake.waiting = [FakeFailure(is_fatal=False), record(A, 1)]
    assert len(member.take(10, 0)) == 1
    assert errors == ["broken"]
    fake.waiting = [FakeFailure(is_fatal=True)]
    with pytest.raises(Unavailable, match="broken"):
        member.take(10, 0)
