"""What matcher, manager and notifier hand to each other through Kafka."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from streaming.events.model import Level


class Severity(StrEnum):
    """How urgent an incident is; set by the rule."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class IncidentState(StrEnum):
    """Lifecycle of an incident (design decision 7)."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    RESOLVED = "resolved"


class Sample(msgspec.Struct, kw_only=True):
    """The event behind an incident, as much of it as a message to a person needs; text at most 2,000 characters."""

    timestamp_ms: int
    level: Level
    message: str
    service: str
    node_id: str
    log_id: str | None = None
    trace_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    source: str | None = None
    """Where it lies: coordinates key, else `topic-partition-offset`."""
    received_ms: int = 0
    """When its accumulator received it: what the time from log to alert is measured from."""


class Candidate(msgspec.Struct, kw_only=True):
    """A rule matched (topic `candidates`, key `incident_key`). `count` events of one rule and group."""

    rule_id: str
    group: dict[str, str]
    severity: Severity
    title: str
    count: int
    first_ms: int
    last_ms: int
    received_ms: int
    sample: Sample
    resolve_after_s: float | None = None
    """Quiet time after which the manager resolves; None: only an explicit resolution does."""
    route: str = "default"
    runbook: str | None = None
    labels: dict[str, str] = {}

    @property
    def incident_key(self) -> str:
        """One incident at a time per rule and group."""
        return incident_key(self.rule_id, self.group)


def incident_key(rule_id: str, group: dict[str, str]) -> str:
    """`rule|field=value|field=value`; a `|` in a value, which comes from a log, cannot make two groups one."""
    return "|".join([rule_id, *(f"{k}={_escaped(v)}" for k, v in sorted(group.items()))])


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("|", "%7C")


class Incident(msgspec.Struct, kw_only=True):
    """One incident (topic `incident-state`, key `incident_id`). `version` rises by one with every change."""

    incident_id: str
    incident_key: str
    rule_id: str
    group: dict[str, str]
    severity: Severity
    title: str
    state: IncidentState
    version: int
    count: int
    opened_ms: int
    first_ms: int
    last_ms: int
    updated_ms: int
    last_received_ms: int
    """When the manager last took a candidate in, by its clock: quiet time counts from here."""
    sample: Sample
    resolve_after_s: float | None
    resolved_ms: int | None = None
    reopened: int = 0
    route: str = "default"
    notified_version: int = 0
    notified_ms: int = 0
    """When a notification was last ordered: updates are debounced from here."""
    reason: str = ""
    acknowledged_by: str | None = None
    runbook: str | None = None
    labels: dict[str, str] = {}


class Action(StrEnum):
    """What a notification does at its receiver."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"
    REOPEN = "reopen"


class Notification(msgspec.Struct, kw_only=True):
    """An order to the notifier (topic `notifications`, key incident_id); `incident.version` orders them."""

    action: Action
    incident: Incident
    created_ms: int


class Happening(StrEnum):
    """What an entry of an incident's history tells."""

    OPENED = "opened"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"


class IncidentEvent(msgspec.Struct, kw_only=True):
    """One entry of an incident's history (topic `incident-events`, key incident_id)."""

    happening: Happening
    at_ms: int
    actor: str
    """A rule, a person or `manager`."""
    reason: str
    incident: Incident


class Order(StrEnum):
    """What a command asks of the manager."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class Command(msgspec.Struct, kw_only=True):
    """An order of a person or of a worker (topic `commands`).

    It names the incident by `incident_id`, or by `incident_key`: whichever is open under it at that time. One
    that fits no open incident does nothing.
    """

    order: Order
    author: str
    at_ms: int
    incident_id: str | None = None
    incident_key: str | None = None
    reason: str = ""


class Receipt(msgspec.Struct, kw_only=True):
    """What was delivered (topic `notification-receipts`, key `incident_id|receiver`).

    `message_id` is the receiver's own name of the message (Slack: channel and ts), by which it is edited.
    """

    incident_id: str
    receiver: str
    version: int
    action: Action
    rule_id: str
    severity: Severity
    title: str
    sent_ms: int
    message_id: str | None = None
    channel: str | None = None
