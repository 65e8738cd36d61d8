"""How far a matcher says it has read."""

from __future__ import annotations

from streaming.alerting.matcher.reached import Reached


def test_a_busy_partition_is_as_far_as_its_last_record() -> None:
    reached = Reached()
    reached.begin({0: 5})
    assert reached.told() == {}
    reached.read(0, 9, 1_000)
    reached.read(0, 10, 900)
    assert reached.told() == {0: 1_000}
    assert reached.idle() == []


def test_an_idle_partition_that_is_read_to_its_end_is_as_far_as_its_end_was_asked_for() -> None:
    reached = Reached()
    reached.begin({0: 5, 1: 5, 2: -1, 3: -1001})
    reached.read(1, 9, 1_000)
    assert reached.idle() == [0, 2, 3]
    assert reached.idle() == [0, 1, 2, 3]
    reached.ends(0, 0, 5, 2_000)
    reached.ends(1, 0, 10, 2_000)  # a record is unread
    reached.ends(2, 0, 0, 2_000)  # nothing was ever written
    reached.ends(3, 7, 7, 2_000)  # all was deleted
    assert reached.told() == {0: 2_000, 1: 1_000, 2: 2_000, 3: 2_000}
    reached.ends(3, 7, 8, 3_000)
    assert reached.told()[3] == 2_000


def test_offsets_that_kafka_deleted_count_as_read() -> None:
    reached = Reached()
    reached.begin({0: 5})
    reached.ends(0, 8, 8, 2_000)
    assert reached.told() == {0: 2_000}


def test_what_is_read_anew_is_not_known() -> None:
    reached = Reached()
    reached.begin({0: 5, 1: 5})
    reached.read(0, 9, 1_000)
    reached.read(1, 9, 1_000)
    reached.begin({0: 5})
    reached.forget([1])
    assert reached.told() == {}
    reached.ends(1, 0, 9, 2_000)
    assert reached.told() == {}
    assert reached.idle() == [0] or reached.idle() == [0]
