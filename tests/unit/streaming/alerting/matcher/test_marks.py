"""High-water marks: a repeated record is known again, also after a restart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.matcher.marks import KEPT_MS, Marks
from streaming.events.coordinates import Coordinates, Replay

NOW_MS = 1_795_600_000_000


def written(marks: Marks, now_ms: int = NOW_MS) -> dict[bytes, bytes]:
    """As the topic has it after a commit."""
    return {key: value for key, value in marks.moved(now_ms) if value is not None}


def at(sequence: int, position: int, accumulator: str = "a", incarnation: str = "i") -> Coordinates:
    return Coordinates(accumulator, incarnation, sequence, position, 0, 0, "")


def test_a_record_passes_once() -> None:
    marks = Marks()
    assert [marks.passes(0, at(1, 0)), marks.passes(0, at(1, 1)), marks.passes(0, at(2, 0))] == [True, True, True]
    assert [marks.passes(0, at(1, 1)), marks.passes(0, at(2, 0))] == [False, False]


def test_partitions_and_incarnations_have_marks_of_their_own() -> None:
    marks = Marks()
    assert marks.passes(0, at(5, 0))
    assert marks.passes(1, at(1, 0))
    assert marks.passes(0, at(1, 0, incarnation="j"))
    assert marks.passes(0, at(1, 0, accumulator="b"))


def test_a_replayed_record_has_a_mark_of_its_replay() -> None:
    marks = Marks()
    assert marks.passes(0, at(5, 0))
    assert [marks.passes_replayed(0, Replay("r", n)) for n in (1, 3, 3, 2, 4)] == [True, True, False, False, True]
    assert marks.passes_replayed(1, Replay("r", 2))
    assert marks.passes_replayed(0, Replay("s", 1))
    assert not marks.passes(0, at(5, 0))
    restored = Marks()
    restored.restore([0], written(marks), NOW_MS)
    assert [restored.passes_replayed(0, Replay("r", n)) for n in (4, 5)] == [False, True]


def test_a_forged_accumulator_that_is_no_utf8_has_a_mark_too() -> None:
    marks, restored = Marks(), Marks()
    assert marks.passes(0, at(5, 0, accumulator="\udcff"))
    restored.restore([0], written(marks), NOW_MS)
    assert not restored.passes(0, at(5, 0, accumulator="\udcff"))


def test_only_marks_that_moved_are_written() -> None:
    marks = Marks()
    marks.passes(0, at(1, 0))
    marks.passes(1, at(1, 1))
    assert [key for key, _ in marks.moved(NOW_MS)] == [b"0|a.i", b"1|a.i"]
    marks.saved()
    assert marks.moved(NOW_MS) == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(0, 3)), max_size=40), st.data())
def test_a_restart_at_any_point_counts_each_record_once(
    records: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Records of each partition in order; at some point the matcher dies, and reads again from an older offset."""
    stream = sorted(set(records))
    stop = data.draw(st.integers(0, len(stream)))
    again_from = data.draw(st.integers(0, stop))
    before, topic = Marks(), dict[bytes, bytes]()
    counted = [(p, s, q) for p, s, q in stream[:stop] if before.passes(p, at(s, q))]
    topic.update(written(before))
    after = Marks()
    after.restore({0, 1, 2}, topic, NOW_MS)
    counted += [(p, s, q) for p, s, q in stream[again_from:] if after.passes(p, at(s, q))]
    assert counted == stream


def test_marks_of_a_partition_that_went_are_forgotten() -> None:
    marks = Marks()
    marks.passes(0, at(9, 0))
    marks.passes(1, at(9, 0))
    marks.forget([0])
    assert [key for key, _ in marks.moved(NOW_MS)] == [b"1|a.i"]
    marks.restore([0], {b"0|a.i": b'{"sequence":3,"position":1}', b"1|a.i": b'{"sequence":1,"position":1}'}, NOW_MS)
    assert not marks.passes(0, at(3, 1))
    assert marks.passes(0, at(3, 2))
    assert not marks.passes(1, at(9, 0)), "not restored: it was not asked for"


def test_a_mark_that_does_not_move_is_given_up_in_the_end() -> None:
    marks = Marks()
    marks.passes(0, at(9, 0, incarnation="old"))
    marks.passes_replayed(0, Replay("r", 1))
    topic = written(marks, NOW_MS - KEPT_MS - 1)
    marks.saved()
    marks.passes(0, at(9, 0))
    topic |= written(marks, NOW_MS - KEPT_MS)
    after = Marks()
    after.restore([0], topic, NOW_MS)
    assert after.moved(NOW_MS) == [(b"0|a.old", None), (b"0|replay|r", None)]
    assert not after.passes(0, at(9, 0))
    assert after.passes(0, at(1, 0, incarnation="old")), "it came back all the same"
    assert [(key, value is None) for key, value in after.moved(NOW_MS)] == [(b"0|a.old", False), (b"0|replay|r", True)]
    after.saved()
    assert after.moved(NOW_MS) == []
    other = Marks()
    other.restore([0], topic, NOW_MS)
    other.forget([0])
    assert other.moved(NOW_MS) == [], "the partition is another's now"


def test_a_mark_without_a_time_counts_from_now() -> None:
    marks = Marks()
    marks.restore([0], {b"0|a.i": b'{"sequence":3,"position":1}'}, NOW_MS)
    assert written(marks) == {b"0|a.i": b'{"sequence":3,"position":1,"at_ms":%d}' % NOW_MS}


def test_a_record_that_is_no_mark_does_not_keep_the_others_from_being_restored() -> None:
    good = b'{"sequence":3,"position":1}'
    broken = {b"0|b.i": b"{", b"0|c.i": b'{"sequence":"\xff"}', b"x|a.i": good, b"\xff": good, b"": good}
    marks = Marks()
    marks.restore([0], {**broken, b"0|a.i": good}, NOW_MS)
    assert [marks.passes(0, at(3, position)) for position in (1, 2)] == [False, True]
