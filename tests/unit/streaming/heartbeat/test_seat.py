"""Who has the seat reads everything, the others nothing: what a member makes of what its group gives and takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import TopicPartition

from streaming.heartbeat.seat import LOOK_EVERY_S, Seat

Place = tuple[str, int]


class Member:
    """A consumer, as far as a seat asks it."""

    def __init__(self) -> None:
        self.read: list[TopicPartition] = []
        self.calls = 0

    def assignment(self) -> list[TopicPartition]:
        return self.read

    def committed(self, asked: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, 7) for at in asked]

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.calls += 1
        self.read = [*self.read, *partitions]

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        self.calls += 1
        self.read = [at for at in self.read if at not in partitions]


class Topic:
    """What Kafka says of a topic."""

    error = None

    def __init__(self, partitions: int) -> None:
        self.partitions = dict.fromkeys(range(partitions))


class Cluster:
    """Both an admin client and what it answers."""

    def __init__(self) -> None:
        self.topics = {"heartbeats": Topic(3), "registrations": Topic(1), "node-orders": Topic(1)}

    def list_topics(self, _: str, timeout: float) -> Cluster:
        assert timeout
        return self


class Desk:
    """A seat without Kafka, and what was done at it."""

    def __init__(self) -> None:
        self.cluster, self.member = Cluster(), Member()
        self.done: list[str] = []
        self.fails = False
        made = Seat.__new__(Seat)
        made._topics, made._bootstrap = list(self.cluster.topics), "kafka:9092"
        made._admin, made.consumer = self.cluster, self.member  # type: ignore[assignment]
        made._taken, made._left, made._lost = (self.doing(name) for name in ("taken", "left", "lost"))
        made._is_taken, made._looked = False, 0.0
        self.seat = made

    def doing(self, name: str) -> Callable[[], None]:
        def do() -> None:
            self.done.append(f"{name}, reading {len(self.member.read)}")
            if self.fails:
                raise ValueError(name)

        return do

    def given(self, *partitions: int) -> None:
        self.seat._on_assign(self.member, [TopicPartition("registrations", p) for p in partitions])  # type: ignore[arg-type]

    def revoked(self, *partitions: int) -> None:
        self.seat._on_revoke(self.member, [TopicPartition("registrations", p) for p in partitions])  # type: ignore[arg-type]

    def lost(self, *partitions: int) -> None:
        self.seat._on_lost(self.member, [TopicPartition("registrations", p) for p in partitions])  # type: ignore[arg-type]

    @property
    def read(self) -> set[Place]:
        return {(at.topic, at.partition) for at in self.member.read}


ALL = {("heartbeats", 0), ("heartbeats", 1), ("heartbeats", 2), ("registrations", 0), ("node-orders", 0)}


def test_who_is_given_the_seat_takes_over_first_and_then_reads_everything() -> None:
    desk = Desk()
    desk.given(0)
    assert desk.done == ["taken, reading 0"]
    assert desk.read == ALL
    desk.given()  # a standby came
    desk.given(1)  # registrations has more partitions now
    desk.revoked(1)
    assert (desk.done, desk.read) == (["taken, reading 0"], ALL)


@pytest.mark.parametrize("partitions", [(), (1,), (1, 2)])
def test_who_is_not_given_the_seat_reads_nothing_and_leaves_nothing_to_the_client(partitions: tuple[int, ...]) -> None:
    desk = Desk()
    desk.given(*partitions)
    desk.revoked(*partitions)
    desk.lost(*partitions)
    assert (desk.done, desk.read, desk.member.calls) == ([], set(), 3)


@pytest.mark.parametrize("how", ["left", "lost"])
@pytest.mark.parametrize("fails", [False, True])
def test_who_gives_it_up_is_told_while_it_still_has_it_and_reads_nothing_more(how: str, *, fails: bool) -> None:
    desk = Desk()
    desk.given(0)
    desk.fails = fails
    give_up = desk.revoked if how == "left" else desk.lost
    if fails:
        with pytest.raises(ValueError, match=how):
            give_up(0)
    else:
        give_up(0)
    assert desk.done[1:] == [f"{how}, reading 5"]
    assert desk.read == set()
    desk.fails = False
    desk.given(0)
    assert desk.read == ALL


def test_partitions_that_were_added_are_read_as_well() -> None:
    desk = Desk()
    desk.cluster.topics["heartbeats"] = Topic(4)
    desk.seat._looked = -LOOK_EVERY_S
    desk.seat.look_for_more()
    assert desk.read == set(), "not by a standby"
    desk.cluster.topics["heartbeats"] = Topic(3)
    desk.given(0)
    desk.cluster.topics["heartbeats"] = Topic(4)
    desk.seat.look_for_more()
    assert desk.read == ALL, "asked a moment ago"
    desk.seat._looked -= LOOK_EVERY_S
    desk.seat.look_for_more()
    assert desk.read == ALL | {("heartbeats", 3)}
