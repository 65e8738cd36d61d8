"""Does a service that was asked to start work yet: one look, and the words for a service that does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from infra.gates import Probe
from infra.service_manager import RunState, ServiceStatus
from infra.services import Service
from infra.targets import Target
from streaming.errors import Unavailable
from vigil_airflow.outcomes import Outcome, Seen


def judge(status: ServiceStatus, answer: Probe | None) -> Seen:
    """The outcome of what supervisor and gate said; `answer` is None where asking the gate made no sense.

    A gate that answers while the supervisor is not yet content counts as waiting: until then, the answer may be
    another program's that has taken the port.
    """
    match status.state:
        case RunState.FAILED:
            return Seen(Outcome.HOPELESS, f"it ended by itself: {status.detail or 'no reason given'}")
        case RunState.STOPPED:
            return Seen(Outcome.HOPELESS, "it was stopped while its health gate waited")
        case RunState.STARTING | RunState.RUNNING:
            if answer is None or not answer.ok:
                # The supervisor's detail tells why the last attempt ended; better than that nobody listens.
                return Seen(Outcome.WAITING, status.detail or (answer.reason if answer else "not asked yet"))
            if status.state is RunState.STARTING:
                return Seen(Outcome.WAITING, "its gate answers, but the supervisor does not yet count it as running")
            return Seen(Outcome.MET, answer.reason)


def look(platform: Target, service: Service, probe_timeout_s: float = 2.0) -> Seen:
    """Asks supervisor, then gate, which has `probe_timeout_s`. A supervisor that is silent counts as waiting."""
    try:
        status = platform.manager.status(service.name)
    except Unavailable as error:
        return Seen(Outcome.WAITING, str(error))
    if status.state in (RunState.FAILED, RunState.STOPPED):
        return judge(status, None)
    return judge(status, platform.probe(service, probe_timeout_s))


def wait(once: Callable[[], Seen], until: float, poll_s: float = 0.25) -> Seen:
    """Looks until something else than WAITING is found or the clock (seconds since the epoch) passes `until`."""
    while True:
        found = once()
        if found.outcome is not Outcome.WAITING or time.time() + poll_s > until:
            return found
        time.sleep(poll_s)


def failure_text(
    service: Service, waited_s: float, found: Seen, status: ServiceStatus | None, log: str, words: Sequence[str]
) -> str:
    """Why a service did not become healthy, to act on: reason, supervisor's word, last log lines and where they are.

    Args:
        waited_s: how long its gate was given.
        status: the supervisor's last word; None where it does not answer.
        log: where the service's own log is.
        words: the last lines of that log, fit to be shown.
    """
    timed_out = found.outcome is Outcome.WAITING
    outcome = f"not healthy within {waited_s:.0f} s" if timed_out else "did not become healthy"
    lines = [f"{service.name}: {outcome}: {found.reason}"]
    if status:
        detail = f", {status.detail}" if status.detail and status.detail not in found.reason else ""
        lines.append(f"supervisor: {status.state}{detail}")
    # The supervisor's detail may have quoted the log already.
    fresh = [line for line in words if not any(line in told for told in lines)]
    if fresh or not any(log in told for told in lines):
        lines.append(f"last lines of {log}:" if words else f"log (nothing in it yet): {log}")
    return "\n  ".join([*lines, *fresh])
