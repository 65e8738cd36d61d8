"""High-water marks: a repeated record is known again, also after a restart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.matcher.marks import Marks
from streaming.events.coordinates import Coordinates, Replay


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
    restored.restore([0], dict(marks.moved()))
    assert [restored.passes_replayed(0, Replay("r", n)) for n in (4, 5)] == [False, True]


def test_only_marks_that_moved_are_written() -> None:
    marks = Marks()
    marks.passes(0, at(1, 0))
    marks.passes(1, at(1, 1))
    assert [key for key, _ in marks.moved()] == [b"0|a.i", b"1|a.i"]
    marks.saved()
    assert marks.moved() == []


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
    topic.update(before.moved())
    after = Marks()
    after.restore({0, 1, 2}, topic)
    counted += [(p, s, q) for p, s, q in stream[again_from:] if after.passes(p, at(s, q))]
    assert counted == stream


def test_marks_of_a_partition_that_went_are_forgotten() -> None:
    marks = Marks()
    marks.passes(0, at(9, 0))
    marks.passes(1, at(9, 0))
    marks.forget([0])
    assert [key for key, _ in marks.moved()] == [b"1|a.i"]
    marks.restore([0], {b"0|a.i": b'{"sequence":3,"position":1}', b"1|a.i": b'{"sequence":1,"position":1}'})
    assert not marks.passes(0, at(3, 1))
    assert marks.passes(0, at(3, 2))
    assert not marks.passes(1, at(9, 0)), "not restored: it was not asked for"
