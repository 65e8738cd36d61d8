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

    @property
    def incident_key(self) -> str:
        """One incident at a time per rule and group."""
        return self.rule_id + "|" + "|".join(f"{k}={v}" for k, v in sorted(self.group.items()))


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
    sample: Sample
    resolve_after_s: float | None
    resolved_ms: int | None = None
    reopened: int = 0
    route: str = "default"
    notified_version: int = 0
    reason: str = ""


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
