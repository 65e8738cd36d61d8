"""How the pipeline stands, from measurements with simulated clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.pipeline.health import LONGEST_GAP_MS, Measurement, PipelineHealth, Place, Reading
from streaming.pipeline.messages import PipelineStatus, WorkerProgress

LOGS = tuple(Place("logs", number) for number in range(3))
DONE = Reading(100, 0, None)


class Pipeline:
    """A history with clocks: `wall` differs from `steady` by what the wall clock was set."""

    def __init__(self) -> None:
        self.history, self.steady_ms, self.set_ms = PipelineHealth(), 50_000, 1_000_000

    def after(
        self, ms: int, *readings: Reading, logs: int = 0, dead_letters: int = 0, worker: str = "indexer"
    ) -> PipelineStatus:
        self.steady_ms += ms
        of_worker = dict(zip(LOGS, readings, strict=False))
        workers = {worker: of_worker} if of_worker else {}
        return self.history.take(
            Measurement(
                self.steady_ms + self.set_ms, self.steady_ms, workers, logs_end=logs, dead_letters_end=dead_letters
            )
        )

    def progress(self, ms: int, *readings: Reading) -> WorkerProgress:
        return self.after(ms, *readings).workers["indexer"]

    def at(self, ago_ms: int, ms: int = 5_000) -> int:
        """A wall time so long before the next measurement, which comes after `ms`."""
        return self.steady_ms + ms + self.set_ms - ago_ms


def test_what_is_read_to_its_end_is_not_behind() -> None:
    pipeline = Pipeline()
    for _ in range(20):
        assert pipeline.progress(5_000, DONE, DONE) == WorkerProgress(lag=0, behind_ms=0, still_ms=0)


def test_lag_is_summed_and_the_oldest_record_tells_the_delay() -> None:
    pipeline = Pipeline()
    readings = Reading(7, 3, pipeline.at(2_000)), DONE, Reading(1, 10, pipeline.at(9_000))
    assert pipeline.progress(5_000, *readings) == WorkerProgress(lag=13, behind_ms=9_000, still_ms=0)


def test_it_stands_still_while_it_is_behind_and_no_offset_moves() -> None:
    pipeline = Pipeline()
    stuck = Reading(7, 3, pipeline.at(0, 0))
    assert [pipeline.progress(5_000, stuck, DONE).still_ms for _ in range(4)] == [0, 5_000, 10_000, 15_000]
    moved = stuck._replace(position=8, lag=2)
    assert pipeline.progress(5_000, moved, DONE).still_ms == 0
    assert pipeline.progress(5_000, moved, DONE).still_ms == 5_000
    assert pipeline.progress(5_000, moved, Reading(101, 0, None)).still_ms == 0, "another partition moved"
    assert pipeline.progress(5_000, moved._replace(position=10, lag=0), DONE).still_ms == 0
    fell_behind = moved._replace(position=10, lag=1)
    assert pipeline.progress(5_000, fell_behind, DONE).still_ms == 0, "it was not behind the last time"
    assert pipeline.progress(5_000, fell_behind, DONE).still_ms == 5_000


def test_a_worker_that_never_committed_is_behind_by_all_that_there_is() -> None:
    pipeline = Pipeline()
    never = Reading(-1, 5, pipeline.at(0, 0))
    assert pipeline.progress(5_000, never) == WorkerProgress(lag=5, behind_ms=5_000, still_ms=0)
    assert pipeline.progress(5_000, never) == WorkerProgress(lag=5, behind_ms=10_000, still_ms=5_000)


def test_while_nothing_was_measured_nothing_stood_still() -> None:
    """Kafka was away: nobody could have moved."""
    pipeline = Pipeline()
    stuck = Reading(7, 3, None)
    pipeline.progress(5_000, stuck)
    assert pipeline.progress(5_000, stuck).still_ms == 5_000
    assert pipeline.progress(LONGEST_GAP_MS + 1, stuck).still_ms == 5_000
    assert pipeline.progress(5_000, stuck).still_ms == 10_000


def test_where_it_is_measured_seldom_the_time_between_counts_all_the_same() -> None:
    pipeline = Pipeline()
    pipeline.history = PipelineHealth(interval_s=45.0)
    stuck = Reading(7, 3, None)
    assert [pipeline.progress(45_000, stuck).still_ms for _ in range(3)] == [0, 45_000, 90_000]
    assert pipeline.progress(6 * 45_000 + 1, stuck).still_ms == 90_000, "nobody measured for so long"


def test_a_clock_that_is_set_changes_no_duration() -> None:
    pipeline = Pipeline()
    stuck = Reading(7, 3, None)
    pipeline.progress(5_000, stuck)
    pipeline.set_ms -= 10**9
    assert pipeline.progress(5_000, stuck).still_ms == 5_000
    ahead = stuck._replace(oldest_ms=pipeline.at(-60_000))
    assert pipeline.progress(5_000, ahead).behind_ms == 0, "the broker's clock is ahead"


def test_of_a_record_that_cannot_be_read_the_age_is_how_long_it_is_behind() -> None:
    pipeline = Pipeline()
    unknown = Reading(7, 3, None)
    assert [pipeline.progress(5_000, unknown).behind_ms for _ in range(3)] == [0, 5_000, 10_000]


def test_a_worker_that_is_not_measured_is_left_out_and_begins_anew() -> None:
    pipeline = Pipeline()
    stuck = Reading(7, 3, None)
    pipeline.progress(5_000, stuck)
    assert pipeline.progress(5_000, stuck).still_ms == 5_000
    assert pipeline.after(5_000).workers == {}
    assert pipeline.progress(5_000, stuck).still_ms == 0


def test_records_are_counted_over_a_minute() -> None:
    pipeline = Pipeline()
    counts = []
    for number in range(20):
        status = pipeline.after(5_000, logs=number * 100, dead_letters=number)
        counts.append((status.logs, status.dead_letters))
    assert counts[:3] == [(0, 0), (100, 1), (200, 2)], "less than a minute is known yet"
    assert counts[-1] == (1_200, 12)
    assert pipeline.after(5_000, logs=0).logs == 0, "the topic was made anew"
    after_gap = pipeline.after(300_000, logs=10**6)
    assert after_gap.logs == 0, "what came in a gap did not come in the last minute"
    assert pipeline.after(5_000, logs=10**6 + 5).logs == 5


READINGS = st.builds(
    lambda position, lag, ago: Reading(position, lag, 10**6 - ago if lag else None),
    st.integers(-1, 3),
    st.integers(0, 3),
    st.integers(0, 10**6),
)


@given(st.lists(st.tuples(st.integers(1, 40_000), st.lists(READINGS, min_size=2, max_size=2)), max_size=20))
def test_it_never_stands_still_for_longer_than_it_is_watched(steps: list[tuple[int, list[Reading]]]) -> None:
    pipeline, since_ms = Pipeline(), 0
    before: list[Reading] = []
    for ms, readings in steps:
        progress = pipeline.progress(ms, *readings)
        behind = sum(reading.lag for reading in readings) > 0
        moved = [reading.position for reading in readings] != [reading.position for reading in before]
        was_behind = sum(reading.lag for reading in before) > 0
        since_ms = since_ms + (ms if ms <= LONGEST_GAP_MS else 0) if behind and was_behind and not moved else 0
        assert progress.still_ms == since_ms
        assert (progress.lag > 0) is behind
        assert progress.behind_ms >= 0
        before = readings
