"""All incidents together: found by key and id, capped by rule, and looked at when something is due."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from streaming.alerting.incidents.decision import NOTHING, Decision, joined
from streaming.alerting.incidents.lifecycle import (
    Policy,
    due_ms,
    on_candidate,
    on_command,
    on_mute,
    on_recovery,
    on_tick,
)
from streaming.alerting.messages import Candidate, Command, Incident, IncidentState
from streaming.alerting.rules.base import TITLE_LIMIT
from streaming.alerting.text import cut

Move = tuple[Incident | None, Incident | None]
"""An incident as it was and as it is, where its state or what conditions on incidents ask changed; None: there was or
is none."""

STALE_KEPT = 1_000
"""Entries of the heap that may have lost their meaning, besides as many as count: some 100 KB."""

OTHER_GROUPS = {"other": "groups"}
"""The group that a rule's groups beyond its `max_groups` share."""


@dataclass
class Book:
    """All incidents that are not forgotten: at most one for each key. Applies decisions; does no I/O.

    `due` is a heap of (when, key), `scheduled` the one entry of each key that counts: an entry comes too early at
    worst (the incident changed meanwhile), never too late, so a busy incident does not fill the heap.
    """

    policy: Policy = field(default_factory=Policy)
    by_key: dict[str, Incident] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    due: list[tuple[int, str]] = field(default_factory=list)
    scheduled: dict[str, int] = field(default_factory=dict)
    groups: Counter[str] = field(default_factory=Counter)
    """Incidents by rule."""
    moves: list[Move] = field(default_factory=list)

    def put(self, incident: Incident) -> None:
        """Takes an incident in, as decided or as restored."""
        key = incident.incident_key
        if key not in self.by_key:
            self.groups[incident.rule_id] += 1
        self.by_key[key] = incident
        self.keys[incident.incident_id] = key
        at = due_ms(incident, self.policy)
        if at is not None and at < self.scheduled.get(key, at + 1):
            self.scheduled[key] = at
            heapq.heappush(self.due, (at, key))

    def drop(self, incident_id: str) -> str | None:
        """Takes an incident out, and says its key; None: there is none of this id. One that has taken its key since
        stays."""
        key = self.keys.pop(incident_id, None)
        current = self.by_key.get(key) if key else None
        if key and current is not None and current.incident_id == incident_id:
            del self.by_key[key]
            self._leaves(current)
        return key

    def _leaves(self, incident: Incident) -> None:
        """Its entries of `due` count no more; many of them are left by a standby, which never looks at what is due."""
        key = incident.incident_key
        self.groups[incident.rule_id] -= 1
        if not self.groups[incident.rule_id]:
            del self.groups[incident.rule_id]
        self.scheduled.pop(key, None)
        if len(self.due) > STALE_KEPT + 2 * len(self.scheduled):
            self.due = [(at, key) for at, key in self.due if self.scheduled.get(key) == at]
            heapq.heapify(self.due)

    def candidate(self, candidate: Candidate, now_ms: int) -> Decision:
        """Takes a candidate in; where its rule has as many groups as it may, under that of the others."""
        candidate = self._capped(candidate)
        current = self.by_key.get(candidate.incident_key)
        return self._apply(on_candidate(current, candidate, now_ms, self.policy))

    def _capped(self, candidate: Candidate) -> Candidate:
        """A rule grouped by what is different in each log would else fill the memory, and bury people in messages."""
        most = candidate.max_groups
        if most is None or self.groups[candidate.rule_id] < most or candidate.incident_key in self.by_key:
            return candidate
        title = cut(f"More than {most} groups; one of them: {candidate.title}", TITLE_LIMIT)
        return msgspec.structs.replace(candidate, group=OTHER_GROUPS, title=title)

    def recovery(self, incident_key: str, reason: str, actor: str, now_ms: int) -> Decision:
        """What the incident of this key fired for is over."""
        current = self.by_key.get(incident_key)
        return NOTHING if current is None else self._apply(on_recovery(current, reason, actor, now_ms))

    def look_again(self, incident_key: str, now_ms: int) -> Decision:
        """A mute that may concern this incident has begun or ended."""
        current = self.by_key.get(incident_key)
        return NOTHING if current is None else self._apply(on_mute(current, now_ms, self.policy))

    def command(self, command: Command, now_ms: int) -> Decision:
        """Obeys an order about an incident where it fits."""
        current = self.meant(command)
        return NOTHING if current is None else self._apply(on_command(current, command, now_ms))

    def meant(self, command: Command) -> Incident | None:
        """The incident that an order is about."""
        key = command.incident_key or self.keys.get(command.incident_id or "")
        return self.by_key.get(key) if key else None

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
                opened_ms=incident.opened_ms + by_ms if incident.state is IncidentState.PENDING else incident.opened_ms,
                firing_since_ms=incident.firing_since_ms + by_ms,
                repeated_ms=incident.repeated_ms + by_ms if incident.repeated_ms else 0,
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

    def schedule_again(self) -> None:
        """The policy's answers have changed: something may be due sooner."""
        for incident in list(self.by_key.values()):
            self.put(incident)

    def taken_moves(self) -> list[Move]:
        """What moved since this was last asked, in order."""
        moves, self.moves = self.moves, []
        return moves

    def _apply(self, decision: Decision) -> Decision:
        for incident in decision.forgotten:
            if self.by_key.get(incident.incident_key) is incident:
                del self.by_key[incident.incident_key]
                self._leaves(incident)
                self.moves.append((incident, None))
            self.keys.pop(incident.incident_id, None)
        for incident in decision.changed:
            before = self.by_key.get(incident.incident_key)
            if before is None or _has_moved(before, incident):
                self.moves.append((before, incident))
            self.put(incident)
        return decision


def _has_moved(before: Incident, after: Incident) -> bool:
    return (
        (before.state, before.severity, before.owner) != (after.state, after.severity, after.owner)
        or (before.rule_kind, before.labels) != (after.rule_kind, after.labels)
        or before.sample.service != after.sample.service
        or before.sample.node_id != after.sample.node_id
    )
