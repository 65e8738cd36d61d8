"""What an audit finds by its evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.audit.evidence import LOGS_OF_MS, Beats, Evidence
from streaming.audit.findings import Finding, Problem
from streaming.audit.nodes import LOUD, SILENT_AFTER_MS, examine, zombie_suspects, zombies
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import Kind, State
from streaming.pipeline.messages import PipelineStatus, WorkerProgress

NOW = 1_790_000_000_000
MINUTE = 60_000

RULES = """
rules:
  - {id: down, kind: node-health, severity: critical, title: t}
  - {id: never, kind: node-health, condition: NEVER_SEEN, severity: error, title: t}
  - {id: two, kind: node-health, condition: DUPLICATE, severity: warning, title: t, where: {service: {equals: order}}}
"""


def rules(more: str = "") -> RuleSet:
    return load_texts([(Path("x.yaml"), RULES + more)])


def node(name: str = "a", **changes: Any) -> NodeRecord:
    """One that is UP, has been for long, and whose last beat the registry has from a second ago."""
    known: dict[str, Any] = {
        "node_id": name,
        "service": "order",
        "state": State.UP,
        "since_ms": NOW - 60 * MINUTE,
        "first_seen_ms": NOW - 60 * MINUTE,
        "last_beat_ms": NOW - 1_000,
        "mean_interval_ms": 1_000.0,
        "reason": "",
        "accumulator": "accumulator1",
    }
    return NodeRecord(**(known | changes))


def status(**workers: int) -> PipelineStatus:
    """Measured just now; by how many ms each worker is behind."""
    known = {"heartbeat-monitor": 0, "indexer": 0} | {name.replace("_", "-"): ms for name, ms in workers.items()}
    progress = {w: WorkerProgress(lag=int(bool(ms)), behind_ms=ms, still_ms=0) for w, ms in known.items()}
    return PipelineStatus(at_ms=NOW - 2_000, workers=progress, logs=1, dead_letters=0)


def evidence(*records: NodeRecord, **changes: Any) -> Evidence:
    """All sources answer; the beats in Kafka are those of the registry."""
    found = Evidence(
        now_ms=NOW,
        rules=rules(),
        registry={record.node_id: record for record in records},
        beats=Beats({r.node_id: r.last_beat_ms for r in records if r.last_beat_ms}, NOW - 10 * MINUTE, 100),
        logged=frozenset(record.node_id for record in records),
        incidents=[],
        pipeline=status(),
    )
    return replace(found, **changes)


def found(given: Evidence) -> dict[Problem, Finding]:
    findings = examine(given)
    assert len({finding.key for finding in findings}) == len(findings)
    return {finding.problem: finding for finding in findings}


def test_nothing_is_found_where_all_is_well() -> None:
    assert examine(evidence(node("a"), node("b", state=State.SUSPECT))) == []


def test_a_node_that_the_monitor_overlooked_is_silent() -> None:
    finding = found(evidence(node(last_beat_ms=NOW - 3 * MINUTE)))[Problem.SILENT]
    assert finding.reason == "no beat for 3 min; the registry says UP"
    assert finding.needs_incident


def test_a_node_that_is_down_is_silent_and_asks_for_its_incident() -> None:
    finding = found(evidence(node(state=State.DOWN, last_beat_ms=NOW - 3 * MINUTE)))[Problem.SILENT]
    assert finding.reason == "no beat for 3 min"
    assert finding.needs_incident


def test_where_no_rule_asks_for_it_it_is_only_listed() -> None:
    none = replace(evidence(node(last_beat_ms=NOW - 3 * MINUTE)), rules=load_texts([(Path("x.yaml"), "rules: []")]))
    assert not found(none)[Problem.SILENT].needs_incident


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.MAINTENANCE},
        {"state": State.RETIRED},
        {"state": State.DOWN, "clean_shutdown": True},
        {"kind": Kind.PIPELINE},
        {"mean_interval_ms": 60_000.0},
    ],
)
def test_silence_that_means_nothing(changes: dict[str, Any]) -> None:
    assert examine(evidence(node(last_beat_ms=NOW - 5 * MINUTE, **changes))) == []


def test_what_carries_the_beats_explains_the_silence_of_its_nodes() -> None:
    carrier = node("accumulator1", kind=Kind.ACCUMULATOR, service="vigil-accumulator", accumulator=None)
    silent = {"last_beat_ms": NOW - 3 * MINUTE}
    findings = examine(
        evidence(
            node("accumulator1", kind=Kind.ACCUMULATOR, accumulator=None, **silent),
            *(node(name, **silent) for name in "abc"),
        )
    )
    assert [finding.subject for finding in findings] == ["accumulator1"]
    assert len(examine(evidence(carrier, *(node(name, **silent) for name in "abc")))) == 3


def test_beats_in_kafka_count_where_the_registry_is_old() -> None:
    given = evidence(node(last_beat_ms=NOW - 30 * MINUTE))
    beats = Beats({"a": NOW - 500}, NOW - 10 * MINUTE)
    assert examine(replace(given, beats=beats)) == []


def test_who_beats_seldom_is_not_silent_by_an_old_registry_alone() -> None:
    """Too many beats were there to read them all: only those of the last 30 s were."""
    given = evidence(node(last_beat_ms=NOW - 3 * MINUTE))
    assert examine(replace(given, beats=Beats({}, NOW - 30_000))) == []


def test_a_monitor_that_was_not_heard_of_is_dead() -> None:
    old = replace(evidence(node()), pipeline=None)
    assert found(old)[Problem.MONITOR_DEAD].reason.startswith("has never measured anything")
    stale = PipelineStatus(at_ms=NOW - 5 * MINUTE, workers={}, logs=0, dead_letters=0)
    dead = found(replace(old, pipeline=stale))[Problem.MONITOR_DEAD]
    assert dead.reason.startswith("was last heard of 5 min ago")
    assert dead.needs_incident


def test_a_monitor_that_is_behind_is_late() -> None:
    given = evidence(node(), pipeline=status(heartbeat_monitor=120_000))
    assert found(given)[Problem.MONITOR_LATE].needs_incident


def test_of_a_monitor_nothing_is_said_while_kafka_is_away() -> None:
    given = evidence(pipeline=None, registry=None, beats=None, incidents=None, away={"kafka": "away"})
    assert examine(given) == []


def test_two_processes_and_a_clock_that_is_off() -> None:
    findings = found(evidence(node(duplicate=True, skew_ms=-6_200.0)))
    assert findings[Problem.DUPLICATE].needs_incident
    assert findings[Problem.SKEWED].reason == "its clock is off by -6.2 s"
    assert not findings[Problem.SKEWED].needs_incident, "no rule asks for clocks"
    other = found(evidence(node(duplicate=True, service="payment")))
    assert not other[Problem.DUPLICATE].needs_incident, "the rule is about another service"
    assert examine(evidence(node(duplicate=True, state=State.RETIRED))) == []


def test_who_is_expected_and_never_came() -> None:
    expected = rules("inventory: [{node: a, service: order}, {node: b, service: order}]")
    missed = node("b", state=State.UNKNOWN, last_beat_ms=None, expected=True, never_seen=True)
    (finding,) = examine(replace(evidence(node("a"), missed), rules=expected))
    assert (finding.problem, finding.subject, finding.needs_incident) == (Problem.NEVER_SEEN, "b", True)
    (early,) = examine(replace(evidence(node("a")), rules=expected))
    assert not early.needs_incident, "the heartbeat monitor does not miss it yet"


def test_beats_of_which_the_registry_knows_nothing() -> None:
    beats = Beats({"a": NOW - 500, "new": NOW - 500, "ghost": NOW - SILENT_AFTER_MS}, NOW - 10 * MINUTE)
    (finding,) = examine(replace(evidence(node()), beats=beats))
    assert (finding.problem, finding.subject) == (Problem.UNREGISTERED, "ghost")


def test_who_beats_and_does_not_log_is_a_zombie_if_it_used_to() -> None:
    given = evidence(node("a"), node("b"), node("c"), logged=frozenset("a"))
    suspects = zombie_suspects(given)
    assert suspects == ["b", "c"]
    loud, quiet = zombies(given, suspects, {"b": LOUD})
    assert (loud.subject, loud.needs_incident) == ("b", True)
    assert (quiet.subject, quiet.needs_incident) == ("c", False)
    assert loud.reason == "beats, and has logged nothing for 15 minutes; 500 logs in the last 24 hours"


@pytest.mark.parametrize(
    "changes",
    [
        {"logged": frozenset()},
        {"logged": None},
        {"pipeline": status(indexer=10 * MINUTE)},
        {"pipeline": None},
    ],
)
def test_nobody_is_a_zombie_while_indexing_may_be_at_fault(changes: dict[str, Any]) -> None:
    assert zombie_suspects(evidence(node("a"), **({"logged": frozenset("x")} | changes))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.ACCUMULATOR},
        {"state": State.DOWN},
        {"first_seen_ms": NOW - LOGS_OF_MS + 1},
        {"last_beat_ms": NOW - 5 * MINUTE},
    ],
)
def test_who_is_no_zombie(changes: dict[str, Any]) -> None:
    assert zombie_suspects(evidence(node("a", **changes), logged=frozenset("x"))) == []


@given(
    state=st.sampled_from(State),
    kind=st.sampled_from(Kind),
    ago_ms=st.none() | st.integers(0, 10**9),
    interval_ms=st.none() | st.floats(1, 10**7),
    skew_ms=st.none() | st.floats(-(10**9), 10**9),
    flags=st.tuples(*[st.booleans()] * 3),
)
def test_any_record_is_examined_and_at_rest_nothing_is_found(
    state: State,
    kind: Kind,
    ago_ms: int | None,
    interval_ms: float | None,
    skew_ms: float | None,
    flags: tuple[bool, bool, bool],
) -> None:
    record = node(
        state=state,
        kind=kind,
        last_beat_ms=None if ago_ms is None else NOW - ago_ms,
        mean_interval_ms=interval_ms,
        skew_ms=skew_ms,
        clean_shutdown=flags[0],
        duplicate=flags[1],
        never_seen=flags[2],
    )
    findings = examine(evidence(record))
    assert all(finding.subject == "a" and finding.reason for finding in findings)
    if state in (State.MAINTENANCE, State.RETIRED):
        assert findings == []
    if ago_ms is not None and ago_ms <= SILENT_AFTER_MS:
        assert Problem.SILENT not in {finding.problem for finding in findings}
