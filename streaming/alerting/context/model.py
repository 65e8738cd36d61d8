"""The context of an incident as plain data. Texts come from logs: nothing here is escaped for where it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streaming.alerting.messages import Incident

T = TypeVar("T")


@dataclass(frozen=True)
class LogLine:
    """One log, as much of it as a line shows. Times are milliseconds since the epoch, here as everywhere."""

    at_ms: int
    level: str
    service: str
    node: str
    text: str
    source: str = ""
    """Its name for ever: tells whether two lines are one log."""


@dataclass(frozen=True)
class Deed:
    """Something that people or programs did to the platform: a deployment, a start of a service."""

    at_ms: int
    what: str
    by: str = ""


@dataclass(frozen=True)
class NodeLine:
    """How a node is."""

    node_id: str
    service: str
    state: str
    since_ms: int
    reason: str
    silent_ms: int | None


@dataclass(frozen=True)
class Related:
    """Another open incident, and why it may have to do with this one."""

    incident_id: str
    severity: str
    state: str
    title: str
    opened_ms: int
    why: str


@dataclass(frozen=True)
class Found(Generic[T]):
    """What one source gave, the oldest first. `away`: why it could not be asked, or gave no more; `by`: who was asked,
    where it may be one or another."""

    items: tuple[T, ...] = ()
    away: str = ""
    by: str = ""


@dataclass(frozen=True)
class Context:
    """All that was found. Each source may be away by itself."""

    incident: Incident
    gathered_ms: int
    logs: Found[LogLine] = field(default_factory=Found)
    """The last of its service and node until it opened."""
    trace: Found[LogLine] = field(default_factory=Found)
    """Of the trace of its log, wherever they were logged."""
    deeds: Found[Deed] = field(default_factory=Found)
    nodes: Found[NodeLine] = field(default_factory=Found)
    related: Found[Related] = field(default_factory=Found)


def began_ms(incident: Incident) -> int:
    """When it opened, or came back, by the manager's clock."""
    return max(incident.opened_ms, incident.firing_since_ms) if incident.reopened else incident.opened_ms
