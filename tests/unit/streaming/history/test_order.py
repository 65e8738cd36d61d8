"""The last state is that of the last event, whatever is read again, and whoever writes late."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.history.order import MAX_VERSION, Known, version_of, version_over


class State:
    """One document of Elasticsearch with external versions, and what a worker does about conflicts."""

    def __init__(self) -> None:
        self.known: Known | None = None

    def write(self, at_ms: int, offset: int) -> None:
        version: int | None = version_of(at_ms)
        while version is not None:
            if self.known is None or version > self.known.version:
                self.known = Known(version, offset)
                return
            version = version_over(self.known, version, offset)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_no_replay_and_no_late_writer_brings_back_an_old_state(times: list[int], data: st.DataObject) -> None:
    """Times that repeat and go back; a worker that begins again anywhere; one that was cut off and writes late."""
    state, reached = State(), -1
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, min(reached + 1, len(times) - 1)))
        for offset in range(start, data.draw(st.integers(start, len(times)))):
            state.write(times[offset], offset)
            reached = max(reached, offset)
            late = data.draw(st.integers(0, reached))
            state.write(times[late], late)
            assert state.known is not None
            assert state.known.offset == reached


@settings(max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).map(sorted), st.data())
def test_a_restored_topic_changes_nothing_and_what_happens_after_it_counts(
    times: list[int], data: st.DataObject
) -> None:
    state = State()
    for offset, at_ms in enumerate(times, 100):
        state.write(at_ms, offset)
    before = state.known
    kept = times[data.draw(st.integers(0, len(times))) :]
    for offset, at_ms in enumerate(kept):
        state.write(at_ms, offset)
    assert state.known == before
    # Events of one millisecond raise the version by one each: as many milliseconds later it counts for certain.
    state.write(50 + len(times), len(kept))
    assert state.known == Known(50 + len(times), len(kept))


def test_versions_are_what_elasticsearch_takes() -> None:
    assert (version_of(-1), version_of(10**30)) == (0, MAX_VERSION)
    assert version_over(None, 7, 0) == 7, "it was deleted meanwhile"
