from __future__ import annotations

import pytest
from vigil_airflow.health_gate import (
    failure_text,
    judge,
    wait,
)
from vigil_airflow.outcomes import Outcome, Seen

from infra.gates import Probe
from infra.service_manager import RunState, ServiceStatus
from infra.services import GateKind, Service, Stage

SERVICE = Service("indexer", Stage.WORKERS, GateKind.HTTP, 9400)


def status(state: RunState, detail: str = "") -> ServiceStatus:
    return ServiceStatus("indexer", state, None, detail)


@pytest.mark.parametrize(
    ("state", "answer", "outcome"),
    [
        (RunState.RUNNING, Probe(True, "healthy"), Outcome.MET),
        (RunState.RUNNING, Probe(False, "not connected"), Outcome.WAITING),
        (RunState.STARTING, Probe(False, "nothing answers"), Outcome.WAITING),
        (RunState.STARTING, Probe(True, "another program's"), Outcome.WAITING),
        (RunState.FAILED, None, Outcome.HOPELESS),
        (RunState.STOPPED, None, Outcome.HOPELESS),
        (RunState.FAILED, Probe(True, "another program's"), Outcome.HOPELESS),
    ],
)
def test_outcomes(state: RunState, answer: Probe | None, outcome: Outcome) -> None:
    found = judge(status(state), answer)
    assert found.outcome is outcome
    assert found.reason


def test_a_service_that_is_tried_again_says_why_it_ended() -> None:
    found = judge(
        status(RunState.STARTING, "tried again soon; it ended with status 69"), Probe(False, "nothing answers")
    )
    assert found.reason == "tried again soon; it ended with status 69"


def test_waiting_ends_at_the_first_other_outcome() -> None:
    looks = iter([Seen(Outcome.WAITING, "a"), Seen(Outcome.WAITING, "b"), Seen(Outcome.HOPELESS, "c")])
    assert wait(lambda: next(looks), until=float("inf"), poll_s=0) == Seen(Outcome.HOPELESS, "c")


def test_waiting_looks_once_when_the_time_is_over() -> None:
    looks = iter([Seen(Outcome.WAITING, "a")])
    assert wait(lambda: next(looks), until=0, poll_s=0).reason == "a"


def test_failure_text_tells_each_thing_once() -> None:
    found = judge(status(RunState.FAILED, "exited with 78"), None)
    text = failure_text(SERVICE, 60, found, status(RunState.FAILED, "exited with 78"), "logs/none.out", [])
    assert text.count("exited with 78") == 1
    assert text.endswith("log (nothing in it yet): logs/none.out")


def test_failure_text_does_not_repeat_what_the_supervisor_quoted() -> None:
    log = "logs/indexer.jsonl"
    detail = f"it ended with status 1: first | boom (log: {log})"
    found = judge(status(RunState.FAILED, detail), None)
    text = failure_text(SERVICE, 60, found, status(RunState.FAILED, detail), log, ["first", "boom"])
    assert text == f"indexer: did not become healthy: it ended by itself: {detail}\n  supervisor: failed"


def test_failure_text_without_a_supervisor() -> None:
    text = failure_text(SERVICE, 60, Seen(Outcome.WAITING, "it is away"), None, "logs/none.out", [])
    assert text.startswith("indexer: not healthy within 60 s: it is away\n")
