"""Incidents from their history, availability from changes of nodes, losses and latency from audits."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import Happening, Severity
from streaming.audit.findings import Audit, Finding, Latency, PipelineFacts, Problem, audit_of
from streaming.heartbeat.states import State
from streaming.reports.incidents import HistoryEvent, HistoryIncident, IncidentBook, lengths
from streaming.reports.model import Incidents, Lengths, NodeLine, Nodes, Pipeline
from streaming.reports.nodes import Availability, Change, Known
from streaming.reports.period import HOUR_MS, Kind, period_of
from streaming.reports.pipeline import audited

DAY = period_of(Kind.DAILY, date(2026, 11, 25), "UTC", 1.0)
START, END = DAY.start_ms, DAY.end_ms


def told(*events: tuple[str, Happening, int], severity: Severity = Severity.ERROR) -> Incidents:
    book = IncidentBook(DAY)
    for name, happening, at_ms in events:
        rule = name[:1]
        incident = HistoryIncident(incident_id=name, rule_id=rule, severity=severity, title=name, count=2)
        book.take(HistoryEvent(happening, START + at_ms, incident))
    return book.told()


def test_an_incident_counts_where_it_was_opened_and_as_it_stood_at_the_cutoff() -> None:
    found = told(
        ("a1", Happening.OPENED, -1),
        ("a1", Happening.ACKNOWLEDGED, 5),
        ("a2", Happening.OPENED, 0),
        ("a2", Happening.ACKNOWLEDGED, 10),
        ("a2", Happening.ACKNOWLEDGED, 50),
        ("a2", Happening.RESOLVED, 100),
        ("a2", Happening.REOPENED, 200),
        ("b1", Happening.OPENED, 7),
        ("b1", Happening.RESOLVED, 24 * HOUR_MS + 30),
        ("b2", Happening.OPENED, 8),
        ("b2", Happening.RESOLVED, 25 * HOUR_MS),
        ("b3", Happening.OPENED, 24 * HOUR_MS),
    )
    assert (found.opened, found.reopened, found.acknowledged, found.resolved) == (3, 1, 1, 1)
    assert found.to_acknowledge == Lengths(1, 10, 10, 10)
    assert found.to_resolve.median_ms == 24 * HOUR_MS + 23
    assert [(rule.rule_id, rule.opened, rule.reopened) for rule in found.rules] == [("b", 2, 0), ("a", 1, 1)]
    assert [line.incident_id for line in found.worst] == ["a2", "b2", "b1"]


def test_lengths_are_medians_and_ninth_deciles() -> None:
    assert lengths([]) == Lengths()
    assert lengths([-5]) == Lengths(1, 0, 0, 0)
    assert lengths(range(1, 11)) == Lengths(10, 5, 9, 10)
    assert lengths([3, 1, 2]) == Lengths(3, 2, 3, 3)


def node(state: State = State.UP, since_ms: int = 0, first_seen_ms: int = 0, *, clean: bool = False) -> Known:
    return Known("n", "s", state, since_ms, first_seen_ms, clean)


def course(registry: Known, *changes: tuple[int, State] | tuple[int, State, bool]) -> Nodes:
    found = Availability(DAY, {"n": registry})
    for at_ms, state, *clean in changes:
        found.take(Change("n", state, START + at_ms, bool(clean and clean[0])))
    return found.told()


def only(found: Nodes) -> NodeLine:
    [line] = found.worst
    return line


def test_a_node_that_never_changed_was_as_the_registry_has_it() -> None:
    assert course(node()) == Nodes(total=1, always_up=1, availability=1.0)
    down = only(course(node(State.DOWN)))
    assert (down.down_ms, down.availability) == (24 * HOUR_MS, 0.0)


def test_of_what_no_record_tells_nothing_is_said() -> None:
    # It changed after the period, and what it was before is not kept.
    assert course(node(since_ms=END + 1)) == Nodes(total=1)
    # Its first change that is kept lies within.
    line = only(course(node(), (6 * HOUR_MS, State.DOWN), (8 * HOUR_MS, State.UP)))
    assert (line.unknown_ms, line.down_ms, line.up_ms) == (6 * HOUR_MS, 2 * HOUR_MS, 16 * HOUR_MS)


def test_a_node_that_came_within_the_period_counts_from_then_on() -> None:
    found = Availability(DAY, {"n": node(first_seen_ms=START + 20 * HOUR_MS)})
    found.take(Change("n", State.UP, START + 20 * HOUR_MS))
    assert found.told() == Nodes(total=1, always_up=1, availability=1.0)
    later = Availability(DAY, {"n": node(since_ms=END + 5, first_seen_ms=END + 5)})
    assert later.told() == Nodes()


def test_announced_shutdowns_and_maintenance_do_not_count() -> None:
    found = course(
        node(State.UP),
        (-HOUR_MS, State.UP),
        (HOUR_MS, State.MAINTENANCE),
        (3 * HOUR_MS, State.UP),
        (5 * HOUR_MS, State.DOWN, True),
        (6 * HOUR_MS, State.UP),
        (7 * HOUR_MS, State.SUSPECT),
        (8 * HOUR_MS, State.DOWN),
        (9 * HOUR_MS, State.UP),
        (10 * HOUR_MS, State.DOWN),
        (END - START, State.UP),
    )
    line = only(found)
    assert (line.planned_ms, line.down_ms, line.outages) == (3 * HOUR_MS, 15 * HOUR_MS, 2)
    assert line.availability == 6 / 21


def test_nodes_that_are_retired_or_of_no_registry_are_left_out() -> None:
    assert course(node(State.RETIRED)) == Nodes()
    found = Availability(DAY, {})
    found.take(Change("n", State.DOWN, START))
    assert found.told() == Nodes()


@given(
    st.lists(st.tuples(st.integers(-HOUR_MS, 26 * HOUR_MS), st.sampled_from(State), st.booleans()), max_size=12),
    st.integers(0, END),
)
def test_all_time_is_accounted_for(changes: list[tuple[int, State, bool]], first_seen_ms: int) -> None:
    found = Availability(DAY, {"n": node(first_seen_ms=first_seen_ms)})
    for at_ms, state, clean in sorted(changes, key=lambda change: change[0]):
        found.take(Change("n", state, START + at_ms, clean))
    nodes = found.told()
    for line in nodes.worst:
        assert 0 < line.up_ms + line.down_ms + line.planned_ms + line.unknown_ms <= 24 * HOUR_MS
    assert nodes.availability is None or 0 <= nodes.availability <= 1


def audit(at_ms: int, lost: int = 0, away: dict[str, str] | None = None, *, facts: bool = True) -> Audit:
    findings = [
        Finding(problem=Problem.LOST, subject="pipeline", severity=Severity.CRITICAL, reason=f"{lost} are nowhere")
    ][: bool(lost)]
    measured = PipelineFacts(
        verify_verdict="lost" if lost else "proven",
        records=100,
        lost_events=lost,
        in_spools=0,
        not_indexed=0,
        offsets={},
        log_to_document=None,
        log_to_alert=Latency.of([30, 40, 90]),
    )
    return audit_of("pipeline", at_ms, findings, away or {}, {}, measured if facts else None)


def test_audits_are_told_together_and_a_loss_that_is_found_again_counts_once() -> None:
    found = audited(
        [audit(1), audit(2, 5), audit(3, 5), audit(4, away={"verify": "no Kafka"}, facts=False)], {"json": 2}
    )
    assert (found.audits, found.failed, found.lost, found.reconciled) == (4, 3, 5, 300)
    assert [(point.at_ms, point.p50_ms, point.p99_ms) for point in found.latency] == [
        (1, 40, 90),
        (2, 40, 90),
        (3, 40, 90),
    ]
    assert found.findings == ["5 are nowhere", "verify: no Kafka"]
    assert found.dead_letters == {"json": 2}
    assert audited([], {}) == Pipeline()
