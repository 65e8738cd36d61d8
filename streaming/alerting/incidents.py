"""The life of an incident: a pure state machine (design decision 7).

Each function takes one incident as it is (or None), what happened, and the manager's clock, and returns a
`Decision`. Nothing here reads a clock or talks to a server, so tests run years of it in a second.

    (none) --candidate--> FIRING --quiet, node UP, or order--> RESOLVED --reopen window over--> (none)
                          |    ^                                |
               acknowledge|    |severity rises                  |candidate within the window
                          v    |                                v
                       ACKNOWLEDGED                     FIRING, reopened + 1
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from dataclasses import dataclass, field

import msgspec

from streaming.alerting.candidates import from_node
from streaming.alerting.engine import Engine
from streaming.alerting.messages import (
    Action,
    Candidate,
    Command,
    Happening,
    Incident,
    IncidentEvent,
    IncidentState,
    Notification,
    Order,
    Severity,
    incident_key,
)
from streaming.events.model import NodeState
from streaming.heartbeat.messages import NodeStatus

SEVERITY_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Policy:
    """How patient the manager is.

    `update_every_ms`: an incident's message is edited at most this often, since each edit costs a request of
    the receiver's rate limit. `reopen_within_ms`: a problem that returns this soon is the same problem.
    """

    update_every_ms: int = 30_000
    reopen_within_ms: int = 600_000


@dataclass(frozen=True)
class Decision:
    """What follows: incidents as they now are, ids to forget, what to tell people, what to write into the history."""

    changed: tuple[Incident, ...] = ()
    forgotten: tuple[Incident, ...] = ()
    notifications: tuple[Notification, ...] = ()
    events: tuple[IncidentEvent, ...] = ()


NOTHING = Decision()


def is_open(incident: Incident) -> bool:
    """Whether it still wants somebody's attention."""
    return incident.state is not IncidentState.RESOLVED


def new_id(candidate: Candidate) -> str:
    """A short readable name, the same each time the same candidate is decided upon."""
    seed = f"{candidate.incident_key}\n{candidate.sample.source}\n{candidate.received_ms}"
    return base64.b32encode(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()).decode()[:10]


def on_candidate(current: Incident | None, candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    """A rule matched: opens, counts or reopens."""
    if current is None:
        return _open(candidate, now_ms)
    if is_open(current):
        return _count(current, candidate, now_ms, policy)
    if now_ms - (current.resolved_ms or 0) <= policy.reopen_within_ms:
        return _reopen(current, candidate, now_ms)
    opened = _open(candidate, now_ms)
    return Decision(opened.changed, (current,), opened.notifications, opened.events)


def on_command(current: Incident, command: Command, now_ms: int) -> Decision:
    """A person's or a worker's order; one that changes nothing does nothing."""
    if command.order is Order.RESOLVE and is_open(current):
        return _resolve(current, now_ms, command.author, command.reason or f"resolved by {command.author}")
    if command.order is Order.ACKNOWLEDGE and current.state is IncidentState.FIRING:
        changed = _next(
            current,
            now_ms,
            state=IncidentState.ACKNOWLEDGED,
            acknowledged_by=command.author,
            reason=command.reason or f"acknowledged by {command.author}",
        )
        return _told(changed, Action.UPDATE, Happening.ACKNOWLEDGED, now_ms, command.author)
    return NOTHING


def on_tick(current: Incident, now_ms: int, policy: Policy) -> Decision:
    """Time has passed: what was due happens."""
    due = due_ms(current, policy)
    if due is None or now_ms < due:
        return NOTHING
    if not is_open(current):
        return Decision(forgotten=(current,))
    if _quiet_ms(current) is not None and now_ms >= (_quiet_ms(current) or 0):
        return _resolve(current, now_ms, "manager", f"quiet for {current.resolve_after_s:g} s")
    return _told(_next(current, now_ms), Action.UPDATE, Happening.UPDATED, now_ms, current.rule_id)


def due_ms(incident: Incident, policy: Policy) -> int | None:
    """When `on_tick` next has something to do with it; None: not before something else happens."""
    if not is_open(incident):
        return (incident.resolved_ms or 0) + policy.reopen_within_ms + 1
    untold = incident.version > incident.notified_version
    update = incident.notified_ms + policy.update_every_ms if untold else None
    return min((at for at in (update, _quiet_ms(incident)) if at is not None), default=None)


def _quiet_ms(incident: Incident) -> int | None:
    """When it has been quiet for long enough."""
    if incident.resolve_after_s is None:
        return None
    return incident.last_received_ms + round(incident.resolve_after_s * 1000)


def _open(candidate: Candidate, now_ms: int) -> Decision:
    incident = Incident(
        incident_id=new_id(candidate),
        incident_key=candidate.incident_key,
        rule_id=candidate.rule_id,
        group=candidate.group,
        severity=candidate.severity,
        title=candidate.title,
        state=IncidentState.FIRING,
        version=1,
        count=candidate.count,
        opened_ms=now_ms,
        first_ms=candidate.first_ms,
        last_ms=candidate.last_ms,
        updated_ms=now_ms,
        last_received_ms=now_ms,
        sample=candidate.sample,
        resolve_after_s=candidate.resolve_after_s,
        route=candidate.route,
        runbook=candidate.runbook,
        labels=candidate.labels,
    )
    return _told(incident, Action.OPEN, Happening.OPENED, now_ms, candidate.rule_id)


def _count(current: Incident, candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    rises = SEVERITY_RANK[candidate.severity] > SEVERITY_RANK[current.severity]
    incident = _with(current, candidate, now_ms)
    if rises:
        # Whoever acknowledged it did not know that it would become worse.
        incident = msgspec.structs.replace(
            incident, severity=candidate.severity, state=IncidentState.FIRING, acknowledged_by=None
        )
    if rises or now_ms - current.notified_ms >= policy.update_every_ms:
        return _told(incident, Action.UPDATE, Happening.UPDATED, now_ms, candidate.rule_id)
    return Decision(changed=(incident,))


def _reopen(current: Incident, candidate: Candidate, now_ms: int) -> Decision:
    incident = msgspec.structs.replace(
        _with(current, candidate, now_ms),
        severity=candidate.severity,
        state=IncidentState.FIRING,
        resolved_ms=None,
        acknowledged_by=None,
        reopened=current.reopened + 1,
        reason="",
    )
    return _told(incident, Action.REOPEN, Happening.REOPENED, now_ms, candidate.rule_id)


def _with(current: Incident, candidate: Candidate, now_ms: int) -> Incident:
    """The incident with a candidate's events counted in. Severity never falls while it is open."""
    return _next(
        current,
        now_ms,
        count=current.count + candidate.count,
        title=candidate.title,
        first_ms=min(current.first_ms, candidate.first_ms),
        last_ms=max(current.last_ms, candidate.last_ms),
        last_received_ms=max(current.last_received_ms, now_ms),
        sample=candidate.sample,
        resolve_after_s=candidate.resolve_after_s,
        route=candidate.route,
        runbook=candidate.runbook,
        labels=candidate.labels,
    )


def _resolve(current: Incident, now_ms: int, actor: str, reason: str) -> Decision:
    incident = _next(current, now_ms, state=IncidentState.RESOLVED, resolved_ms=now_ms, reason=reason)
    return _told(incident, Action.RESOLVE, Happening.RESOLVED, now_ms, actor)


def _next(current: Incident, now_ms: int, **changes: object) -> Incident:
    return msgspec.structs.replace(current, version=current.version + 1, updated_ms=now_ms, **changes)


def _told(incident: Incident, action: Action, happening: Happening, now_ms: int, actor: str) -> Decision:
    """The decision that changes an incident and says so."""
    incident = msgspec.structs.replace(incident, notified_version=incident.version, notified_ms=now_ms)
    return Decision(
        changed=(incident,),
        notifications=(Notification(action=action, incident=incident, created_ms=now_ms),),
        events=(
            IncidentEvent(happening=happening, at_ms=now_ms, actor=actor, reason=incident.reason, incident=incident),
        ),
    )


@dataclass
class Book:
    """All incidents that are not forgotten: at most one for each key. Applies decisions; does no I/O.

    `due` is a heap of (when, key), `scheduled` the one entry of each key that counts: an entry comes too early at
    worst (the incident changed meanwhile), never too late, so a busy incident does not fill the heap.
    """

    policy: Policy = Policy()
    by_key: dict[str, Incident] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    due: list[tuple[int, str]] = field(default_factory=list)
    scheduled: dict[str, int] = field(default_factory=dict)

    def put(self, incident: Incident) -> None:
        """Takes an incident in, as decided or as restored."""
        key = incident.incident_key
        self.by_key[key] = incident
        self.keys[incident.incident_id] = key
        at = due_ms(incident, self.policy)
        if at is not None and at < self.scheduled.get(key, at + 1):
            self.scheduled[key] = at
            heapq.heappush(self.due, (at, key))

    def candidate(self, candidate: Candidate, now_ms: int) -> Decision:
        """Takes a candidate in."""
        current = self.by_key.get(candidate.incident_key)
        return self._apply(on_candidate(current, candidate, now_ms, self.policy))

    def node_status(self, status: NodeStatus, engine: Engine, now_ms: int) -> Decision:
        """A node is DOWN: a candidate for each rule that watches it. UP, or stopped on purpose: they resolve."""
        decisions = []
        if status.state is NodeState.DOWN and not status.clean_shutdown:
            return joined([self.candidate(from_node(rule, status), now_ms) for rule in engine.node_rules(status)])
        # Of every rule, also of one whose condition it no longer fits: the node may have come back as another service.
        for rule in engine.all_node_rules:
            current = self.by_key.get(incident_key(rule.id, rule.group(status.node_id)))
            if current is not None and is_open(current):
                reason = f"{status.node_id} {'has stopped on purpose' if status.clean_shutdown else 'is UP again'}"
                decisions.append(self._apply(_resolve(current, now_ms, "heartbeat-monitor", reason)))
        return joined(decisions)

    def command(self, command: Command, now_ms: int) -> Decision:
        """Obeys an order where it fits."""
        key = command.incident_key or self.keys.get(command.incident_id or "")
        current = self.by_key.get(key) if key else None
        return NOTHING if current is None else self._apply(on_command(current, command, now_ms))

    def tick(self, now_ms: int, limit: int = 1000) -> Decision:
        """Does what is due, at most `limit` incidents at a time."""
        decisions: list[Decision] = []
        while self.due and self.due[0][0] <= now_ms and len(decisions) < limit:
            at, key = heapq.heappop(self.due)
            if self.scheduled.get(key) != at:
                continue
            del self.scheduled[key]
            current = self.by_key.get(key)
            if current is None:
                continue
            decision = on_tick(current, now_ms, self.policy)
            if decision is NOTHING:
                self.put(current)
            else:
                decisions.append(self._apply(decision))
        return joined(decisions)

    def clock_was_set(self, by_ms: int) -> Decision:
        """The clock was set by so much: what counts from a time in the past counts from the same moment as before.

        Else an hour forward would resolve everything at once, and an hour back hold up resolutions and updates. The
        times that people are shown stay as they were told.
        """
        moved = tuple(
            msgspec.structs.replace(
                incident,
                last_received_ms=incident.last_received_ms + by_ms,
                notified_ms=incident.notified_ms + by_ms,
                resolved_ms=None if incident.resolved_ms is None else incident.resolved_ms + by_ms,
            )
            for incident in self.by_key.values()
        )
        self.due.clear()
        self.scheduled.clear()
        return self._apply(Decision(changed=moved))

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        return self.due[0][0] if self.due else None

    def _apply(self, decision: Decision) -> Decision:
        for incident in decision.forgotten:
            if self.by_key.get(incident.incident_key) is incident:
                del self.by_key[incident.incident_key]
            self.keys.pop(incident.incident_id, None)
        for incident in decision.changed:
            self.put(incident)
        return decision


def joined(decisions: list[Decision]) -> Decision:
    """Decisions made one after another, as one; of an incident that changed twice the last state stands."""
    changed: dict[str, Incident] = {}
    forgotten: dict[str, Incident] = {}
    for decision in decisions:
        for incident in decision.forgotten:
            changed.pop(incident.incident_id, None)
            forgotten[incident.incident_id] = incident
        for incident in decision.changed:
            forgotten.pop(incident.incident_id, None)
            changed[incident.incident_id] = incident
    return Decision(
        tuple(changed.values()),
        tuple(forgotten.values()),
        tuple(n for d in decisions for n in d.notifications),
        tuple(e for d in decisions for e in d.events),
    )
