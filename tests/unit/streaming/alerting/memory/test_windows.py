"""Windows against an oracle that knows all logs and counts anew each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.memory.judges import DAY_MS, judge_of, parts_of
from streaming.alerting.memory.memory import Memory
from streaming.alerting.memory.records import WindowRecord
from streaming.alerting.memory.series import KEPT_WINDOWS, MOST_BUCKETS, Series, WindowSum, clusters
from streaming.alerting.memory.windows import Windows
from streaming.alerting.messages import Candidate, Count, Progress, Sample, incident_key
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.events.model import Level
from streaming.kafka import topics

PARTS = 10
"""Buckets of a second in a window of 10 s."""
S = 1_000
T0 = 1_700_000_000
"""In buckets."""


def load(text: str) -> RuleSet:
    return load_texts([(Path("x"), f"rules: [{text}]")])


def threshold(count: int, resolve_after: int | None = None) -> RuleSet:
    after = "" if resolve_after is None else f"resolve_after: {resolve_after}s,"
    return load(
        f"{{id: r, kind: threshold, where: {{levels: [ERROR]}}, group_by: [service.name], window: 10s, count: {count},"
        f" {after} severity: error, title: t}}"
    )


def counted(buckets: Iterable[int], group: str = "a", all_: Iterable[int] = (), received: int | None = None) -> Count:
    """A count of logs in these buckets; `all_` are the buckets of all logs, where that matters."""
    matching, all_logs = Counter(buckets), Counter(all_)
    touched = sorted(matching | all_logs)
    return Count(
        rule_id="r",
        group={"service.name": group},
        buckets=[(at * S, matching[at], all_logs[at]) for at in touched],
        first_ms=touched[0] * S,
        last_ms=touched[-1] * S,
        received_ms=touched[-1] * S if received is None else received,
        sample=Sample(timestamp_ms=touched[-1] * S, level=Level.ERROR, message="m", service=group, node_id="n")
        if matching
        else None,
    )


def progress_to(at: int) -> Progress:
    return Progress(matcher="m", partitions={0: at * S}, rules_version="v")


def hot_windows(logs: Sequence[int], count: int) -> set[int]:
    """The last buckets of all windows that hold so many."""
    ends = {at + later for at in logs for later in range(PARTS)}
    return {end for end in ends if sum(end - PARTS < at <= end for at in logs) >= count}


def in_hot_windows(logs: Sequence[int], count: int) -> int:
    hot = hot_windows(logs, count)
    return sum(any(at <= end < at + PARTS for end in hot) for at in logs)


_T = TypeVar("_T")


def cut_up(items: Sequence[_T], cuts: Sequence[int]) -> list[Sequence[_T]]:
    ends = sorted({min(cut, len(items)) for cut in cuts} | {len(items)})
    return [items[a:b] for a, b in zip([0, *ends], ends, strict=False) if items[a:b]]


# Within the four windows for which a bucket is kept: nobody tells how far matchers are, so what a count was received at
# stands in for the watermark, and one matcher may be all of this behind the other.
logs_of_time = st.lists(st.integers(T0, T0 + 39), min_size=1, max_size=60)


@settings(deadline=None)
@given(logs_of_time, st.integers(1, 8), st.data())
def test_an_incident_counts_the_logs_of_all_hot_windows_however_they_were_cut_into_counts(
    logs: list[int], count: int, data: st.DataObject
) -> None:
    shared = data.draw(st.lists(st.booleans(), min_size=len(logs), max_size=len(logs)))
    cuts = st.lists(st.integers(0, len(logs)), max_size=12)
    matchers = [
        cut_up([log for log, mine in zip(logs, shared, strict=True) if mine is one], data.draw(cuts))
        for one in (True, False)
    ]
    desk = Desk(threshold(count))
    while any(matchers):
        turn = data.draw(st.sampled_from([one for one in matchers if one]))
        desk.take(counted(turn.pop(0)), (T0 + 60) * S)
    incident = desk.book.by_key.get(incident_key("r", {"service.name": "a"}))
    assert (incident.count if incident else 0) == in_hot_windows(logs, count)
    assert (incident is not None) == bool(hot_windows(logs, count))


class Threshold(RuleBasedStateMachine):
    """A threshold with restarts, late logs, and a watermark that moves as it likes."""

    desk: Desk

    @initialize(count=st.integers(1, 6), resolve_after=st.sampled_from([None, 7]))
    def begin(self, count: int, resolve_after: int | None) -> None:
        self.count, self.hold = count, resolve_after or 0
        self.set = threshold(count, resolve_after)
        self.desk, self.kept = Desk(self.set), dict[bytes, bytes]()
        self.logs: list[int] = []
        self.told: set[int] = set()
        self.watermark, self.now = T0, T0
        self.firing, self.hot_to, self.late_at = False, 0, 0
        self.take(self.desk.take(progress_to(T0), (T0 - 31) * S))
        self.take(self.desk.take(progress_to(T0), T0 * S))

    def take(self, decision: Decision) -> None:
        for record in decision.kept:
            if record.topic == topics.RULE_STATE:
                self.kept[record.key] = msgspec.json.encode(record.value) if record.value is not None else b""
        self.kept = {key: value for key, value in self.kept.items() if value}

    @rule(at=st.integers(-2 * PARTS, 5), many=st.integers(1, 4))
    def logs_come(self, at: int, many: int) -> None:
        bucket = self.watermark + at
        self.logs += [bucket] * many
        self.take(self.desk.take(counted([bucket] * many, received=self.now * S), self.now * S))
        hot = {end for end in hot_windows(self.logs, self.count) if bucket <= end < bucket + PARTS}
        if not hot:
            return
        held = {log for log in self.logs if any(log <= end < log + PARTS for end in hot)}
        known = bool(held & self.told)
        self.told |= held
        if max(hot) + 2 > self.watermark:
            self.firing, self.hot_to = True, max(self.hot_to, *hot)
        elif not self.firing and not known and not self.late_at:
            self.firing, self.hot_to, self.late_at = True, max(self.hot_to, *hot), self.watermark

    @rule(by=st.integers(0, 8))
    def time_passes(self, by: int) -> None:
        self.watermark += by
        self.now += by
        self.take(self.desk.take(progress_to(self.watermark), self.now * S))
        if self.firing and self.watermark >= self.hot_to + 2 + self.hold:
            self.firing = False

    @precondition(lambda self: self.kept)
    @rule()
    def another_manager_takes_over(self) -> None:
        successor = Desk(self.set)
        successor.restore(self.desk.book.by_key.values(), self.kept, {})
        self.desk = successor

    @invariant()
    def it_fires_when_it_should_and_counts_every_log_once(self) -> None:
        incident = self.desk.book.by_key.get(incident_key("r", {"service.name": "a"}))
        assert (incident is not None and is_open(incident)) == self.firing
        assert (incident.count if incident else 0) == in_hot_windows(self.logs, self.count)


def test_a_threshold_with_restarts_and_late_logs() -> None:
    run_state_machine_as_test(Threshold, settings=settings(deadline=None, max_examples=30, stateful_step_count=40))


buckets_of_both = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=1, max_size=50)


def open_after_each(desk: Desk, many: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether an incident is open when each bucket is whole; the first number of each bucket matches."""
    opened = []
    desk.take(progress_to(T0), (T0 - 31) * S)
    for at, (matching, good) in enumerate(many, T0):
        if matching or good:
            count = counted([at] * matching, all_=[at] * (matching + good))
            desk.take(count, (at + 1) * S)
        desk.take(progress_to(at + 1), (at + 1) * S)
        opened.append(any(is_open(one) for one in desk.book.by_key.values()))
    return opened


@settings(deadline=None)
@given(buckets_of_both, st.sampled_from([0.1, 0.5, 1]), st.integers(1, 20))
def test_an_error_ratio_is_open_while_its_window_shows_it(
    many: list[tuple[int, int]], ratio: float, min_count: int
) -> None:
    rules = load(
        f"{{id: r, kind: error-ratio, group_by: [service.name], window: 10s, ratio: {ratio}, min_count: {min_count},"
        " severity: error, title: t}"
    )
    expected = []
    for at in range(len(many)):
        window = many[max(0, at - PARTS + 1) : at + 1]
        matching = sum(errors for errors, _ in window)
        all_ = matching + sum(good for _, good in window)
        expected.append(matching > 0 and all_ >= min_count and matching >= ratio * all_)
    assert open_after_each(Desk(rules), many) == expected


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=90), st.sampled_from([1.5, 3]), st.integers(1, 20))
def test_a_spike_is_open_while_its_window_holds_many_times_the_usual(
    many: list[int], factor: float, min_count: int
) -> None:
    rules = load(
        f"{{id: r, kind: spike, where: {{}}, group_by: [service.name], window: 10s, baseline: 40s, factor: {factor},"
        f" min_count: {min_count}, severity: error, title: t}}"
    )
    first = next((at for at, matching in enumerate(many) if matching), 0)
    expected, was_open = [], False
    for at, matching in enumerate(many):
        begins = at - PARTS + 1
        holds = sum(many[max(0, begins) : at + 1])
        usual = sum(many[max(0, begins - 40) : max(0, begins)]) / 4
        hot = holds >= min_count and first <= begins - 40 and holds >= factor * usual
        was_open = hot and (was_open or matching > 0)
        expected.append(was_open)
    assert open_after_each(Desk(rules), [(matching, 0) for matching in many]) == expected


# ------------------------------------------------------------------------------------------------- bounds


def test_a_series_holds_no_more_than_its_most_whatever_comes() -> None:
    memory = Memory(threshold(10**9))
    (_, record) = memory.count(counted(range(T0, T0 + 7_200)), (T0 + 7_200) * S).kept
    assert isinstance(record.value, WindowRecord)
    assert len(record.value.cells) == 5 * MOST_BUCKETS
    assert len(msgspec.json.encode(record.value)) < 14 * MOST_BUCKETS


def test_in_the_steady_state_a_series_holds_the_windows_it_may_still_need() -> None:
    memory = Memory(threshold(10**9))
    memory.progress(progress_to(T0), (T0 - 31) * S)
    for at in range(T0, T0 + 200):
        outcome = memory.count(counted([at]), at * S)
        memory.progress(progress_to(at), at * S)
    value = outcome.kept[-1].value
    assert isinstance(value, WindowRecord)
    assert len(value.cells) / 5 <= (KEPT_WINDOWS + 1) * PARTS + 2
    assert len(msgspec.json.encode(value)) < 700


def test_a_group_that_is_over_is_forgotten_and_its_record_given_up() -> None:
    memory = Memory(threshold(2))
    memory.progress(progress_to(T0), (T0 - 31) * S)
    memory.count(counted([T0, T0]), T0 * S)
    records: dict[bytes, msgspec.Struct | None] = {}
    for at in range(T0, T0 + 700, 10):
        records |= {record.key: record.value for record in memory.progress(progress_to(at), at * S).kept}
    assert records[b"r|#window|service.name=a"] is None


def test_a_baseline_of_seven_days_is_held_in_sixtieths() -> None:
    rules = load(
        "{id: r, kind: spike, where: {}, group_by: [service.name], window: 1m, baseline: 7d, severity: error, title: t}"
    )
    memory = Memory(rules)
    memory.progress(progress_to(T0), (T0 - 31) * S)
    for at in range(T0, T0 + 20 * DAY_MS // S, 6 * 3_600):
        memory.progress(progress_to(at), at * S)
        outcome = memory.count(counted([at] * 3), at * S)
    value = outcome.kept[-1].value
    assert isinstance(value, WindowRecord)
    assert len(value.blocks) <= 66


def test_a_clock_that_is_years_ahead_opens_no_incident_for_years() -> None:
    memory = Memory(threshold(2))
    memory.progress(progress_to(T0), (T0 - 31) * S)
    far = T0 + 10**9
    (fired,) = memory.count(counted([far, far], received=far * S), T0 * S).findings
    assert isinstance(fired, Candidate)
    later = T0 + 3_600 + PARTS + 2
    assert len(memory.progress(progress_to(later), later * S).findings) == 1


@pytest.mark.parametrize(
    ("window", "parts", "bucket_ms"),
    [("500ms", 1, 1_000), ("10s", 10, 1_000), ("89s", 89, 1_000), ("95s", 48, 2_000), ("5m", 60, 5_000)],
)
def test_a_window_is_whole_buckets(window: str, parts: int, bucket_ms: int) -> None:
    (found,) = load(
        f"{{id: r, kind: threshold, where: {{levels: [ERROR]}}, window: {window}, count: 1, severity: error, title: t}}"
    ).rules
    assert isinstance(found, ThresholdRule)
    assert (parts_of(found), found.bucket_ms) == (parts, bucket_ms)


def test_every_kind_over_a_window_says_why_it_is_over() -> None:
    texts = {
        "kind: threshold, count: 3": "fewer than 3 logs in 90s",
        "kind: error-ratio, ratio: 0.125": "less than 12.5 % of the logs, or fewer than 20 logs, in 90s",
        "kind: spike, factor: 2.5, baseline: 1h": "fewer than 2.5 times the usual, or than 10 logs, in 90s",
    }
    for text, said in texts.items():
        (found,) = load(f"{{id: r, {text}, where: {{}}, window: 90s, severity: error, title: t}}").rules
        assert isinstance(found, ThresholdRule | ErrorRatioRule | SpikeRule)
        assert judge_of(found).over() == said


@given(st.sets(st.integers(0, 60)), st.integers(1, 5))
def test_clusters_are_runs_that_a_window_may_join(indices: set[int], parts: int) -> None:
    runs = list(clusters(indices, parts))
    assert {at for first, last in runs for at in range(first, last + 1)} >= indices
    assert all(b[0] - a[1] >= parts for a, b in pairwise(runs))
    assert {at for run in runs for at in run} <= indices


def test_a_log_of_old_does_not_make_every_window_since_then_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged time of receipt is enough: of seconds since 1970 there are 1.7 billion."""
    (rule,) = load(
        "{id: r, kind: error-ratio, group_by: [service.name], window: 10s, ratio: 0.5, min_count: 2, severity: error,"
        " title: t}"
    ).rules
    assert isinstance(rule, ErrorRatioRule)
    windows = Windows(rule)
    both = [T0 - 100_000, *[T0] * 3]  # of one transaction of a matcher, before the watermark is known
    windows.count(counted(both, all_=both), None)
    looked_at: list[int] = []
    all_windows = Series.windows

    def seen(series: Series, first: int, last: int, parts: int, least: int) -> Iterator[WindowSum]:
        looked_at.append(last - first)
        return all_windows(series, first, last, parts, least)

    monkeypatch.setattr(Series, "windows", seen)
    windows.progress(None, (T0 + 1) * S)
    assert len(looked_at) == 1
    assert max(looked_at) <= KEPT_WINDOWS * PARTS
