"""The engine under a simulated clock: the same logs give the same incidents, whenever they are fed."""

from __future__ import annotations

import random
from pathlib import Path

from streaming.alerting.messages import Action, IncidentState
from streaming.alerting.rehearsal.backtest import rehearse
from streaming.alerting.rehearsal.run import Rehearsal
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.stored.documents import StoredLog
from streaming.events.model import Level, LogEvent

BEGAN_MS = 1_795_500_000_000
RULES = load_texts(
    [
        (
            Path("r.yaml"),
            """
rules:
  - {id: errors, kind: match, where: {levels: [ERROR]}, group_by: [service.name], severity: error,
     title: "{{ message }}", resolve_after: 5m}
  - {id: many, kind: threshold, where: {levels: [WARN]}, group_by: [service.name], window: 1m, count: 6,
     severity: warning, title: many}
  - {id: silent, kind: absence, where: {}, group_by: [service.name], window: 2m, severity: error, title: silent}
""",
        )
    ]
)


def log(at_s: float, level: Level = Level.ERROR, service: str = "order") -> StoredLog:
    at_ms = BEGAN_MS + round(at_s * 1000)
    event = LogEvent(timestamp_ns=at_ms * 1_000_000, level=level, message="it broke", service=service, node_id="n")
    return StoredLog(event, at_ms, f"s-{at_s}-{service}")


def hour(seed: int) -> list[StoredLog]:
    rnd = random.Random(seed)
    levels = [Level.INFO, Level.INFO, Level.WARN, Level.ERROR]
    times = sorted(rnd.uniform(0, 3_600) for _ in range(1_000))
    return [log(at, rnd.choice(levels), rnd.choice(["order", "payment"])) for at in times]


def nobody(_: int, __: int) -> None:
    """Nobody is told of progress."""


def test_the_same_logs_give_the_same_incidents() -> None:
    logs, until_ms = hour(1), BEGAN_MS + 4_000_000
    one, other = (
        rehearse(RULES, iter(logs), BEGAN_MS, until_ms, partitions=3, source="test", report=nobody) for _ in range(2)
    )
    assert one == other
    assert one.logs == 1_000
    assert {incident.rule_id for incident in one.incidents} == {"errors", "many", "silent"}


def test_every_log_is_counted_once() -> None:
    logs = hour(2)
    summary = rehearse(RULES, iter(logs), BEGAN_MS, BEGAN_MS + 3_600_000, partitions=1, source="test", report=nobody)
    errors = sum(log.event.level is Level.ERROR for log in logs)
    (figures,) = [one for one in summary.rules if one.rule_id == "errors"]
    assert figures.logs == errors


def test_time_does_what_is_due_between_two_logs_in_order() -> None:
    rehearsal = Rehearsal(RULES, BEGAN_MS)
    rehearsal.log(log(0))
    rehearsal.log(log(3_000))
    found = rehearsal.finish(BEGAN_MS + 3_001_000)
    told = [(n.action, n.created_ms - BEGAN_MS) for n in found.notifications if n.incident.rule_id == "errors"]
    assert [action for action, _ in told] == [Action.OPEN, Action.RESOLVE, Action.OPEN]
    assert told[1][1] == told[0][1] + 300_000
    states = [i.state for i in found.incidents.values() if i.rule_id == "errors"]
    assert sorted(states) == [IncidentState.FIRING, IncidentState.RESOLVED]


def test_what_resolves_is_counted_as_a_message_and_an_edit_is_not() -> None:
    logs = iter([log(0), log(60), log(120)])
    summary = rehearse(RULES, logs, BEGAN_MS, BEGAN_MS + 600_000, partitions=1, source="test", report=nobody)
    (figures,) = [one for one in summary.rules if one.rule_id == "errors"]
    assert (figures.incidents, figures.logs, figures.interruptions) == (1, 3, 2)
