"""Rules about nodes: what they ask, and what becomes of a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.messages import Candidate
from streaming.alerting.nodes import NodeRules
from streaming.alerting.rules.loading import load_texts
from streaming.errors import ConfigError
from streaming.heartbeat.expectations import expected, skew_bounds_ms
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import About, State

CONDITIONS = ("DOWN", "SUSPECT", "UNKNOWN", "NEVER_SEEN", "DUPLICATE", "SKEWED")
TEXT = "rules:\n" + "".join(
    f"  - {{id: {c.lower().replace('_', '-')}, kind: node-health, condition: {c}, severity: error, title: '{c}'}}\n"
    for c in CONDITIONS
)
RULES = NodeRules(load_texts([(Path("x"), TEXT)]))


def found(
    state: State,
    about: About = About.STATE,
    *,
    clean: bool = False,
    never_seen: bool = False,
    duplicate: bool = False,
    skew_ms: float = 0,
) -> tuple[set[str], set[str]]:
    """The rules that fire, and those of which the incident ends."""
    status = NodeStatus(
        node_id="n",
        service="s",
        state=state,
        at_ms=5,
        last_beat_ms=None if never_seen else 1,
        silent_for_ms=4,
        reason="r",
        clean_shutdown=clean,
        about=about,
        never_seen=never_seen,
        duplicate=duplicate,
        skew_ms=skew_ms,
    )
    findings = RULES.status(status).findings
    assert all(finding.group == {"service.node.name": "n"} for finding in findings)
    fires = {finding.rule_id for finding in findings if isinstance(finding, Candidate)}
    return fires, {finding.rule_id for finding in findings} - fires


STATE_RULES = {"suspect", "unknown", "never-seen"}


@pytest.mark.parametrize(
    ("state", "fires", "ends"),
    [
        (State.UP, set(), {"down"} | STATE_RULES),
        (State.DOWN, {"down"}, STATE_RULES),
        (State.SUSPECT, {"suspect"}, STATE_RULES - {"suspect"}),
        (State.UNKNOWN, {"unknown"}, STATE_RULES - {"unknown"}),
        (State.MAINTENANCE, set(), {"down", "duplicate", "skewed"} | STATE_RULES),
        (State.RETIRED, set(), {"down", "duplicate", "skewed"} | STATE_RULES),
    ],
)
def test_a_change_of_state(state: State, fires: set[str], ends: set[str]) -> None:
    assert found(state) == (fires, ends)


def test_a_stop_on_purpose_is_no_failure() -> None:
    assert found(State.DOWN, clean=True) == (set(), {"down"} | STATE_RULES)


def test_a_node_that_never_came_is_not_merely_unknown() -> None:
    assert found(State.UNKNOWN, never_seen=True) == ({"never-seen"}, {"suspect", "unknown"})


@pytest.mark.parametrize("two", [True, False])
def test_two_processes(two: bool) -> None:
    assert found(State.UP, About.DUPLICATE, duplicate=two) == (
        ({"duplicate"}, set()) if two else (set(), {"duplicate"})
    )


@pytest.mark.parametrize(("skew_ms", "beyond"), [(5_001, True), (-60_000, True), (5_000, False), (0, False)])
def test_a_clock(skew_ms: float, beyond: bool) -> None:
    fires, ends = found(State.UP, About.SKEW, skew_ms=skew_ms)
    assert (fires, ends) == (({"skewed"}, set()) if beyond else (set(), {"skewed"}))


def test_max_skew_goes_with_its_condition() -> None:
    text = "rules: [{id: a, kind: node-health, condition: DOWN, max_skew: 3s, severity: info, title: t}]"
    with pytest.raises(ConfigError, match="max_skew goes with condition: SKEWED"):
        load_texts([(Path("x"), text)])


def test_what_the_monitor_is_asked_for() -> None:
    text = """
rules:
  - {id: a, kind: node-health, condition: SKEWED, max_skew: 2s, severity: info, title: t}
  - {id: b, kind: node-health, condition: SKEWED, severity: info, title: t}
  - {id: c, kind: node-health, condition: SKEWED, max_skew: 1m, severity: info, title: t, enabled: false}
inventory:
  - {node: order-1, service: order}
  - {node: order-2}
"""
    rules = load_texts([(Path("x"), text)])
    assert skew_bounds_ms(rules) == {2_000, 5_000}
    assert expected(rules) == {"order-1": "order", "order-2": ""}
