"""Tests of rules: files that say which logs come, and which incidents must follow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from streaming.alerting.messages import Action, Incident, IncidentState, Severity
from streaming.alerting.rehearsal.run import Rehearsal, Rehearsed
from streaming.alerting.rules.base import Duration
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.strict import Strict
from streaming.alerting.rules.yaml_lines import Lines, Location, dotted, line_of, parse
from streaming.alerting.stored.documents import StoredLog
from streaming.errors import ConfigError
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State

STARTS = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""A Monday morning."""


def _from_zero(value: object) -> object:
    # Lengths of time are above zero; a moment of a test may be its beginning.
    return 0.0 if value in (0, "0", "0s") else TypeAdapter(Duration).validate_python(value)


Moment = Annotated[float, BeforeValidator(_from_zero)]
"""Time since the test's start, in seconds; written `0s`, `90s`, `5m`."""


class GivenLog(Strict):
    """A log that comes, or some that are alike."""

    at: Moment = Field(0.0, description="when it is received, from the start, such as 90s")
    event_at: Moment | None = Field(None, description="its own time; none: when it is received")
    level: Level = Level.ERROR
    message: str = "it broke"
    service: str = "order"
    node: str = "node-1"
    logger: str | None = None
    log_id: str | None = None
    trace_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    labels: dict[str, str] = Field({})
    repeat: int = Field(1, ge=1, le=1_000_000, description="how many of it come; {n} in message is the number")
    every: Duration = Field(1.0, description="time between them")


class GivenNode(Strict):
    """A node that the heartbeat monitor finds UP or DOWN."""

    at: Moment = 0.0
    node: str
    service: str = ""
    state: State
    reason: str = "no heartbeat for 10.2 s (deadline 10.0 s)"


class Expected(Strict):
    """An incident that must follow; what is not given may be anything."""

    rule: str
    group: dict[str, str] | None = None
    count: int | None = None
    state: IncidentState | None = None
    severity: Severity | None = None
    title: str | None = None
    muted: bool | None = Field(None, description="whether nobody is told of it at the end")
    told: tuple[Action, ...] | None = Field(None, description="what people are told of it, in order")
    receivers: tuple[str, ...] | None = Field(None, description="who is told first")


class Case(Strict):
    """One test."""

    name: str = Field(min_length=1)
    starts: AwareDatetime = STARTS
    logs: tuple[GivenLog, ...] = ()
    nodes: tuple[GivenNode, ...] = ()
    until: Duration = Field(description="how much time passes, from the start")
    expect: tuple[Expected, ...] = Field((), description="the incidents that must follow")
    others: bool = Field(False, description="whether more incidents than the expected ones may follow")

    @model_validator(mode="after")
    def _ends_last(self) -> Case:
        latest = [log.at + log.every * (log.repeat - 1) for log in self.logs] + [node.at for node in self.nodes]
        if latest and max(latest) > self.until:
            raise ValueError(f"until: the last of what comes is at {max(latest):g} s")
        return self


class CaseFile(Strict):
    """A file of tests."""

    rules: str = Field("..", description="folder or file of rules, seen from this file; .. if none is given")
    tests: tuple[Case, ...] = Field(min_length=1)


def load_cases(file: Path) -> CaseFile:
    """Reads a file of tests.

    Raises:
        ConfigError: what is wrong with it, with its line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=file) from error
    parsed, lines = parse(file, text)
    try:
        return CaseFile.model_validate(parsed)
    except ValidationError as error:
        raise _fault(file, error, lines) from error


def _fault(file: Path, error: ValidationError, lines: Lines) -> ConfigError:
    first = error.errors(include_url=False)[0]
    place: Location = first["loc"]
    reason = "no such key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return ConfigError(reason, file=file, line=line_of(lines, place), field=dotted(place))


def run_case(rules: RuleSet, case: Case) -> list[str]:
    """What did not come as expected; empty: the test passes."""
    began_ms = round(case.starts.timestamp() * 1000)
    rehearsal = Rehearsal(rules, began_ms)
    given: list[tuple[int, StoredLog | NodeStatus]] = [*_logs(case, began_ms), *_nodes(case, began_ms)]
    for at_ms, one in sorted(given, key=lambda timed: timed[0]):
        if isinstance(one, StoredLog):
            rehearsal.log(one)
        else:
            rehearsal.take(one, at_ms)
    return _differences(case, rehearsal.finish(began_ms + round(case.until * 1000)))


def _logs(case: Case, began_ms: int) -> Iterator[tuple[int, StoredLog]]:
    for place, log in enumerate(case.logs):
        for number in range(log.repeat):
            at_ms = began_ms + round((log.at + number * log.every) * 1000)
            own_ms = at_ms if log.event_at is None else began_ms + round(log.event_at * 1000)
            event = LogEvent(
                timestamp_ns=own_ms * 1_000_000,
                level=log.level,
                message=log.message.replace("{n}", str(number)),
                service=log.service,
                node_id=log.node,
                log_id=log.log_id,
                logger=log.logger,
                trace_id=log.trace_id,
                error_code=log.error_code,
                error_message=log.error_message,
                http_status=log.http_status,
                labels=dict(log.labels),
            )
            yield at_ms, StoredLog(event, at_ms, f"test-{place}-{number}")


def _nodes(case: Case, began_ms: int) -> Iterator[tuple[int, NodeStatus]]:
    for node in case.nodes:
        at_ms = began_ms + round(node.at * 1000)
        status = NodeStatus(
            node_id=node.node,
            service=node.service,
            state=node.state,
            at_ms=at_ms,
            last_beat_ms=None,
            silent_for_ms=0,
            reason=node.reason,
        )
        yield at_ms, status


def _differences(case: Case, found: Rehearsed) -> list[str]:
    left = [i for i in found.incidents.values() if i.state is not IncidentState.PENDING]
    said = []
    for expected in case.expect:
        fitting = [incident for incident in left if _is_meant(expected, incident)]
        if not fitting:
            group = "" if expected.group is None else f" in group {expected.group}"
            said.append(f"no incident of rule {expected.rule}{group}")
            continue
        left.remove(fitting[0])
        said += _compared(expected, fitting[0], found)
    if not case.others:
        said += [f"not expected: {incident.rule_id} {incident.group}: {incident.title}" for incident in left]
    return said


def _is_meant(expected: Expected, incident: Incident) -> bool:
    return incident.rule_id == expected.rule and (expected.group is None or incident.group == expected.group)


def _compared(expected: Expected, incident: Incident, found: Rehearsed) -> Iterator[str]:
    notifications = [n for n in found.notifications if n.incident.incident_id == incident.incident_id]
    seen: dict[str, object] = {
        "count": incident.count,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.title,
        "muted": bool(incident.muted_by),
        "told": tuple(n.action for n in notifications),
        "receivers": notifications[0].receivers if notifications else (),
    }
    for name, value in seen.items():
        wanted = getattr(expected, name)
        if wanted is not None and wanted != value:
            yield f"{expected.rule} {incident.group}: {name} is {_plain(value)}, expected {_plain(wanted)}"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return repr(value) if type(value) is str else str(value)
