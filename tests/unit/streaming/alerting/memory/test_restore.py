"""A memory that was restored concludes what the one would have that was not interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streaming.alerting.incidents.decision import Outcome
from streaming.alerting.memory.memory import Memory
from streaming.alerting.messages import Count, Progress, Sample, Seen
from streaming.alerting.rules.loading import load_texts
from streaming.events.model import Level

S, T0 = 1_000, 1_700_000_000_000
COMMON = "group_by: [service.name], max_groups: 2, severity: error, title: '{{ message }}'"
RULES = load_texts(
    [
        (
            Path("x"),
            f"""rules:
  - {{id: many, kind: threshold, where: {{levels: [ERROR]}}, window: 10s, count: 3, resolve_after: 5s, {COMMON}}}
  - {{id: ratio, kind: error-ratio, window: 10s, ratio: 0.3, min_count: 4, {COMMON}}}
  - {{id: spike, kind: spike, where: {{}}, window: 10s, baseline: 20s, factor: 1.5, min_count: 3, {COMMON}}}
  - {{id: quiet, kind: absence, window: 10s, forget_after: 40s, expected: [{{service.name: b}}], {COMMON}}}
  - {{id: fresh, kind: new-value, field: error.code, learn_for: 5s, forget_after: 2d, max_values: 3, {COMMON}}}
""",
        )
    ]
)


class CountOf(NamedTuple):
    """Logs are counted: seconds from now, matching, others."""

    rule_id: str
    service: str
    cells: list[tuple[int, int, int]]


class SightOf(NamedTuple):
    value: str
    service: str


class Passing(NamedTuple):
    """So many seconds pass; the second partition is so many behind."""

    seconds: int
    behind: int


class ClockSet(NamedTuple):
    seconds: int


Step = CountOf | SightOf | Passing | ClockSet

steps = st.one_of(
    st.builds(
        CountOf,
        st.sampled_from(["many", "ratio", "spike", "quiet"]),
        st.sampled_from("abcd"),
        st.lists(st.tuples(st.integers(-25, 3), st.integers(0, 4), st.integers(0, 8)), min_size=1, max_size=4),
    ),
    st.builds(SightOf, st.sampled_from(["E1", "E2", "E3", "E4"]), st.sampled_from("ab")),
    st.builds(Passing, st.sampled_from([1, 1, 3, 3, 10, 30, 60, 700, 90_000]), st.integers(0, 1)),
    st.builds(ClockSet, st.sampled_from([-5, 5])),
)


class World:
    """One memory that goes on, and one that is made anew from what was kept before everything that comes."""

    def __init__(self) -> None:
        self.live = Memory(RULES, partitions=2)
        self.kept: dict[bytes, bytes] = {}
        self.now = self.reached = T0

    def take(self, given: Count | Seen | Progress | int) -> None:
        again = Memory(RULES, partitions=2)
        again.restore(self.kept)
        lived, restored = _take(self.live, given, self.now), _take(again, given, self.now)
        assert lived.findings == restored.findings
        assert _encoded(lived) == _encoded(restored)
        assert len({record.key for record in lived.kept}) == len(lived.kept), "one record of a rule and group"
        for key, value in _encoded(lived).items():
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value


def _take(memory: Memory, given: Count | Seen | Progress | int, now: int) -> Outcome:
    match given:
        case Count():
            return memory.count(given, now)
        case Seen():
            return memory.seen(given, now)
        case Progress():
            return memory.progress(given, now)
    return memory.clock_was_set(given)


def _encoded(outcome: Outcome) -> dict[bytes, bytes | None]:
    return {record.key: None if record.value is None else msgspec.json.encode(record.value) for record in outcome.kept}


def _sample(service: str, at: int) -> Sample:
    return Sample(timestamp_ms=at, level=Level.ERROR, message="boom " * 60, service=service, node_id="n")


def _count(step: CountOf, now: int) -> Count:
    cells = sorted(((now // S + later) * S, m, m + others) for later, m, others in step.cells)
    return Count(
        rule_id=step.rule_id,
        group={"service.name": step.service},
        buckets=cells,
        first_ms=cells[0][0],
        last_ms=cells[-1][0],
        received_ms=now,
        sample=_sample(step.service, now) if any(m for _, m, _ in cells) else None,
    )


def _seen(step: SightOf, now: int) -> Seen:
    return Seen(
        rule_id="fresh",
        group={"service.name": step.service},
        value=step.value,
        shown=step.value,
        count=1,
        first_ms=now,
        last_ms=now,
        received_ms=now,
        sample=_sample(step.service, now),
    )


NOTHING = CountOf("many", "a", [(0, 0, 0)])
SET_BACK: list[Step] = [ClockSet(5), NOTHING, ClockSet(5), NOTHING, Passing(1, 0), ClockSet(-5)]
"""The watermark comes, and goes back behind what was to be looked at by it."""


@example([CountOf("ratio", "a", [(0, 2, 2)]), *SET_BACK, NOTHING, Passing(1, 0)])
@example(
    [
        CountOf("ratio", "c", [(0, 0, 1), (1, 2, 1)]),
        *SET_BACK,
        Passing(10, 0),
        CountOf("ratio", "c", [(0, 0, 0)]),
    ]
)
@settings(deadline=None, max_examples=100)
@given(st.lists(steps, max_size=40))
def test_restored_before_everything_that_comes_it_concludes_the_same(given: list[Step]) -> None:
    world = World()
    for step in given:
        match step:
            case CountOf():
                world.take(_count(step, world.now))
            case SightOf():
                world.take(_seen(step, world.now))
            case Passing(seconds, behind):
                world.now += seconds * S
                reached = {0: world.now, 1: world.now - behind * S}
                world.take(Progress(matcher="m", partitions=reached, rules_version=RULES.version))
            case ClockSet(seconds):
                world.now += seconds * S
                world.take(seconds * S)


def test_what_cannot_be_read_is_left_and_all_else_restored() -> None:
    memory = Memory(RULES, partitions=1)
    kept: dict[bytes, bytes] = {}
    count = Count(
        rule_id="many",
        group={"service.name": "a"},
        buckets=[(T0, 2, 0)],
        first_ms=T0,
        last_ms=T0,
        received_ms=T0,
        sample=_sample("a", T0),
    )
    kept |= {key: value for key, value in _encoded(memory.count(count, T0)).items() if value is not None}
    kept[b"many|#window|service.name=z"] = b"{"
    kept[b"gone|#window|service.name=z"] = b"[1]"
    kept[b"flaps|rule|service.name=z"] = b'{"rule_id": "x"}'
    kept[b"|#progress"] = b"\xff"
    again = Memory(RULES, partitions=1)
    again.restore(kept)
    outcome = again.count(count, T0)
    assert len(outcome.findings) == 1, "two and two are more than three"
    given_up = {record.key for record in outcome.kept if record.value is None}
    assert given_up == {b"gone|#window|service.name=z"}
