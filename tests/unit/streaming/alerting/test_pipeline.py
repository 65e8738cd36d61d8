"""What rules of kind pipeline-health make of how the pipeline stands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.messages import Action, Incident, IncidentState, incident_key
from streaming.alerting.rules.incident_conditions import attribute
from streaming.alerting.rules.loading import load_rules, load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from streaming.pipeline.messages import PipelineStatus, WorkerProgress
from streaming.settings import CHECKOUT

IDLE = WorkerProgress(lag=0, behind_ms=0, still_ms=0)


def rules(*texts: str) -> RuleSet:
    return load_texts(
        [(Path("x"), "rules:" + "".join(f"\n  - {{kind: pipeline-health, severity: error, {text}}}" for text in texts))]
    )


def status(at: int = 0, *, logs: int = 1_000, dead_letters: int = 0, **workers: WorkerProgress) -> PipelineStatus:
    return PipelineStatus(at_ms=at, workers=workers, logs=logs, dead_letters=dead_letters)


def behind(lag: int = 5, behind_ms: int = 0, still_ms: int = 0) -> WorkerProgress:
    return WorkerProgress(lag=lag, behind_ms=behind_ms, still_ms=still_ms)


def told(decision: Decision) -> list[tuple[Action, str]]:
    return [(n.action, n.incident.title) for n in decision.notifications]


def group(check: str, worker: str = "") -> dict[str, str]:
    return {"check": check} | ({"worker": worker} if worker else {})


ALL = "id: p, title: '{{ message }}', max_lag: 100, max_delay: 60s, stalled_for: 30s, dead_letter_ratio: 0.1"


@pytest.mark.parametrize(
    ("given", "key", "title"),
    [
        (status(indexer=behind(1_234)), group("lag", "indexer"), "indexer is 1,234 records behind"),
        (
            status(matcher=behind(5, 61_000)),
            group("delay", "matcher"),
            "matcher is 61 s late, 5 records behind",
        ),
        (
            status(notifier=behind(5, 0, 7_200_000)),
            group("stalled", "notifier"),
            "notifier has made no progress for 2 h, 5 records behind",
        ),
        (
            status(logs=200, dead_letters=50),
            group("dead-letters"),
            "25% dead letters: 50 to 200 logs in the last minute",
        ),
        (
            status(logs=0, dead_letters=50),
            group("dead-letters"),
            "100% dead letters: 50 to 0 logs in the last minute",
        ),
    ],
)
def test_each_check_and_worker_has_an_incident_that_ends_with_it(
    given: PipelineStatus, key: dict[str, str], title: str
) -> None:
    desk = Desk(rules(ALL))
    assert told(desk.take(given, 1)) == [(Action.OPEN, title)]
    (incident,) = desk.book.by_key.values()
    assert incident.incident_key == incident_key("p", key)
    assert incident.sample.message == title
    assert told(desk.take(given, 2)) == [], "it goes on"
    well = msgspec.structs.replace(given, workers=dict.fromkeys(given.workers, IDLE), dead_letters=0)
    assert [action for action, _ in told(desk.take(well, 3))] == [Action.RESOLVE]


def test_at_the_limit_all_is_well() -> None:
    desk = Desk(rules(ALL))
    assert told(desk.take(status(indexer=behind(100, 60_000, 30_000), dead_letters=100), 1)) == []
    assert told(desk.take(status(logs=10, dead_letters=9), 2)) == [], "too few dead letters to say anything"


def test_one_says_which_worker_it_is_about() -> None:
    desk = Desk(rules(ALL))
    desk.take(status(indexer=behind(1_000), matcher=behind(1_000), logs=1, dead_letters=10), 1)
    assert sorted((attribute(i, "worker"), attribute(i, "service.name")) for i in desk.book.by_key.values()) == [
        ("", "vigil-pipeline"),
        ("indexer", "vigil-indexer"),
        ("matcher", "vigil-matcher"),
    ]


def test_titles_and_texts_read_the_figures() -> None:
    text = (
        "id: p, max_lag: 1,"
        " title: '{{ check }} of {{ worker }} ({{ service.name }}): {{ lag }} {{ delay }} {{ stalled }}',"
        " text: '{{ ratio }} {{ dead_letters }} {{ logs }}'"
    )
    desk = Desk(rules(text))
    desk.take(status(indexer=behind(7, 8_400, 9_000), logs=30, dead_letters=10), 1)
    (incident,) = desk.book.by_key.values()
    assert incident.title == "lag of indexer (vigil-indexer): 7 8 9"
    assert incident.text == "0.333 10 30"


def test_of_a_worker_that_was_not_measured_nothing_is_concluded() -> None:
    desk = Desk(rules("id: p, title: t, max_lag: 1"))
    desk.take(status(indexer=behind(7)), 1)
    assert told(desk.take(status(matcher=IDLE), 2)) == []
    assert [i.state for i in desk.book.by_key.values()] == [IncidentState.FIRING]


def test_a_check_or_worker_that_a_rule_asks_for_no_more_is_over() -> None:
    desk = Desk(rules("id: p, title: t, max_lag: 1, max_delay: 1s"))
    given = status(indexer=behind(7, 9_000))
    assert len(told(desk.take(given, 1))) == 2
    desk.take_rules(rules("id: p, title: t, max_lag: 1"), 2)
    assert [action for action, _ in told(desk.take(given, 3))] == [Action.RESOLVE]
    desk.take_rules(rules("id: p, title: t, max_lag: 1, workers: [matcher]"), 4)
    assert [action for action, _ in told(desk.take(given, 5))] == [Action.RESOLVE]
    with pytest.raises(ConfigError, match="workers"):
        rules("id: p, title: t, max_lag: 1, workers: [accumulator]")


def test_what_a_rule_that_is_gone_left_open_is_over() -> None:
    desk = Desk(rules("id: p, title: t, max_lag: 1"))
    desk.take(status(indexer=behind()), 1)
    other = rules("id: q, title: t, max_lag: 100")
    restarted = Desk(other)
    restarted.restore(desk.book.by_key.values(), {}, {})
    desk.take_rules(other, 2)
    for one in (desk, restarted):
        assert [action for action, _ in told(one.take(status(indexer=behind()), 3))] == [Action.RESOLVE]


def test_outside_its_times_it_fires_nothing_and_still_ends() -> None:
    desk = Desk(rules("id: p, title: t, max_lag: 1, active: [{from: '01:00', to: '02:00'}]"))
    hour = 3_600_000
    assert told(desk.take(status(indexer=behind()), 0)) == []
    assert len(told(desk.take(status(indexer=behind()), hour))) == 1
    assert [action for action, _ in told(desk.take(status(indexer=IDLE), 2 * hour))] == [Action.RESOLVE]


# ------------------------------------------------------------------------------------- the default rules


def incidents_of(steps: list[PipelineStatus]) -> tuple[Desk, list[tuple[Action, str]]]:
    """The default rules over statuses five seconds apart, with time that passes between them."""
    desk, found = Desk(load_rules(CHECKOUT / "rules")), list[tuple[Action, str]]()
    for number, one in enumerate(steps):
        found += told(desk.take(one, number * 5_000))
        found += told(desk.tick(number * 5_000 + 1))
    return desk, found


def test_by_the_default_rules_a_start_that_catches_up_within_two_minutes_says_nothing() -> None:
    """Old logs wait from before, the workers come one after the other, some of them after 40 s."""
    hour_ms = 3_600_000
    starting = [
        status(
            indexer=behind(10_000 - 400 * n, hour_ms, 5_000 * min(n, 8) if n <= 8 else 0),
            matcher=behind(5_000, hour_ms, 5_000 * n) if n <= 8 else IDLE,
            manager=IDLE,
            notifier=IDLE,
            logs=100 * n,
            dead_letters=min(9, n),
        )
        for n in range(12)
    ]
    desk, found = incidents_of([*starting, status(indexer=IDLE, matcher=IDLE, manager=IDLE, notifier=IDLE)])
    assert found == []
    assert desk.book.by_key == {}, "what was pending is forgotten"


def test_by_the_default_rules_a_worker_that_stands_still_is_one_message_and_its_delay_is_muted() -> None:
    desk, found = incidents_of([status(indexer=behind(10, 5_000 * n, 5_000 * n), matcher=IDLE) for n in range(60)])
    assert [(action, title.split(" for ")[0]) for action, title in found if action is Action.OPEN] == [
        (Action.OPEN, "indexer has made no progress")
    ]
    late: Incident = desk.book.by_key[incident_key("pipeline-late", group("delay", "indexer"))]
    assert late.state is IncidentState.SILENCED
