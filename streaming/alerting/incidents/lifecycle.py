"""The life of one incident: a pure state machine (design decision 7).

Each function takes one incident as it is (or None), what happened, and the manager's clock, and returns a
`Decision`. Nothing here reads a clock or talks to a server, so tests run years of it in a second.

    (none) --candidate--> PENDING --held for `for`--> FIRING --quiet, recovery, or order--> RESOLVED --> (none)
                             |                         |  ^                                    |
                       quiet, recovery      acknowledge|  |severity rises,                     |candidate within
                             v                         v  |unacknowledge                       v the reopen window
                          (none)                  ACKNOWLEDGED                        FIRING, reopened + 1

A rule without `for` opens FIRING. What is muted is SILENCED instead of FIRING: nobody is told that it opened, goes on
or came back; when the mute ends and it still goes on, it fires. People who were told that it fired are told that it
is over, muted or not; who was never told of it is never told that it is over.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from streaming.alerting.incidents.decision import NOTHING, Decision
from streaming.alerting.incidents.notes import annotate
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
)

SEVERITY_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def _never(_: Incident, __: int) -> str:
    return ""


def _no_steps(_: Incident) -> Sequence[int]:
    return ()


@dataclass(frozen=True)
class Policy:
    """How patient the manager is, and whom it asks.

    `update_every_ms`: an incident's message is edited at most this often, since each edit costs a request of
    the receiver's rate limit. `reopen_within_ms`: a problem that returns this soon is the same problem.
    `mute_of` says why nobody is to be told of an incident at a time (`Incident.muted_by`; empty: it is to be told),
    `steps_of` after how many ms unacknowledged each step of its escalation is due, rising.
    """

    update_every_ms: int = 30_000
    reopen_within_ms: int = 600_000
    mute_of: Callable[[Incident, int], str] = _never
    steps_of: Callable[[Incident], Sequence[int]] = _no_steps


def is_open(incident: Incident) -> bool:
    """Whether it still wants somebody's attention."""
    return incident.state is not IncidentState.RESOLVED


def was_told(incident: Incident) -> bool:
    """Whether anybody ever got a message about it."""
    return incident.notified_version > 0


def new_id(candidate: Candidate) -> str:
    """A short readable name, the same each time the same candidate is decided upon."""
    seed = f"{candidate.incident_key}\n{candidate.sample.source}\n{candidate.received_ms}"
    return base64.b32encode(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()).decode()[:10]


# ------------------------------------------------------------------------------------------ what happens


def on_candidate(current: Incident | None, candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    """A rule fires: opens, counts or reopens."""
    if current is None:
        return _open(candidate, now_ms, policy)
    if is_open(current):
        return _count(current, candidate, now_ms, policy)
    if candidate.late:
        return _amend(current, candidate, now_ms)
    if now_ms - (current.resolved_ms or 0) <= policy.reopen_within_ms:
        return _reopen(current, candidate, now_ms, policy)
    opened = _open(candidate, now_ms, policy)
    return Decision(opened.changed, (current,), opened.notifications, opened.events)


def on_recovery(current: Incident, reason: str, actor: str, now_ms: int) -> Decision:
    """What it fired for is over."""
    return resolve(current, now_ms, actor, reason) if is_open(current) else NOTHING


def on_command(current: Incident, command: Command, now_ms: int) -> Decision:
    """A person's or a worker's order; one that changes nothing does nothing."""
    if command.order is Order.ANNOTATE:
        return annotate(current, command, now_ms)
    by = f"by {command.author}"
    if command.order is Order.RESOLVE and is_open(current):
        return resolve(current, now_ms, command.author, command.reason or f"resolved {by}")
    if command.order is Order.ACKNOWLEDGE and current.state in (IncidentState.FIRING, IncidentState.SILENCED):
        changed = _next(
            current,
            now_ms,
            state=IncidentState.ACKNOWLEDGED,
            acknowledged_by=command.author,
            acknowledged_ms=now_ms,
            reason=command.reason or f"acknowledged {by}",
        )
        return _edited(changed, Happening.ACKNOWLEDGED, now_ms, command.author)
    if command.order is Order.UNACKNOWLEDGE and current.state is IncidentState.ACKNOWLEDGED:
        changed = _firing(_next(current, now_ms, reason=command.reason or f"given back {by}"), now_ms)
        if current.muted_by:
            changed = msgspec.structs.replace(changed, state=IncidentState.SILENCED)
        elif not was_told(current):
            # It was acknowledged while it was muted: now it is news.
            return _told(changed, Action.OPEN, Happening.UPDATED, now_ms, command.author)
        return _edited(changed, Happening.UPDATED, now_ms, command.author)
    return NOTHING


def on_mute(current: Incident, now_ms: int, policy: Policy) -> Decision:
    """What mutes may have begun or ended: silenced, or told after all. Call it whenever a mute changes."""
    mute = policy.mute_of(current, now_ms) if is_open(current) else ""
    if not is_open(current) or mute == current.muted_by:
        return NOTHING
    if mute:
        muted = _next(current, now_ms, muted_by=mute)
        if current.state is not IncidentState.FIRING:
            return Decision(changed=(muted,))
        muted = msgspec.structs.replace(muted, state=IncidentState.SILENCED)
        return _edited(muted, Happening.SILENCED, now_ms, mute)
    before = current.muted_by
    clear = _next(current, now_ms, muted_by="", reason=f"no longer muted ({before})")
    if current.state is not IncidentState.SILENCED:
        return Decision(changed=(clear,))
    action = Action.REPEAT if was_told(current) else Action.OPEN
    return _told(_firing(clear, now_ms), action, Happening.UNSILENCED, now_ms, before)


def on_tick(current: Incident, now_ms: int, policy: Policy) -> Decision:
    """Time has passed: what was due happens, one thing at a time; what is due besides is due at once again."""
    due = due_ms(current, policy)
    if due is None or now_ms < due:
        return NOTHING
    if not is_open(current):
        if _is_untold(current) and now_ms < _forget_ms(current, policy):
            return _edited(_next(current, now_ms), Happening.UPDATED, now_ms, current.rule_id)
        return Decision(forgotten=(current,))
    if _is_due(_quiet_ms(current), now_ms):
        return resolve(current, now_ms, "manager", f"quiet for {current.resolve_after_s:g} s")
    if current.state is IncidentState.PENDING and _is_due(_held_ms(current), now_ms):
        return _begin(_next(current, now_ms), now_ms, policy, Action.OPEN, Happening.OPENED)
    if _is_due(_escalation_ms(current, policy), now_ms):
        higher = _next(current, now_ms, escalated=current.escalated + 1, repeated_ms=now_ms)
        return _told(higher, Action.ESCALATE, Happening.ESCALATED, now_ms, "manager")
    if _is_due(_repeat_ms(current), now_ms):
        again = _next(current, now_ms, repeated_ms=now_ms)
        return _told(again, Action.REPEAT, Happening.REPEATED, now_ms, "manager")
    return _edited(_next(current, now_ms), Happening.UPDATED, now_ms, current.rule_id)


def resolve(current: Incident, now_ms: int, actor: str, reason: str) -> Decision:
    """It is over. Who was told of it is told why; one that nobody was to be told of yet never was."""
    if current.state is IncidentState.PENDING:
        return Decision(forgotten=(current,))
    incident = _next(
        current, now_ms, state=IncidentState.RESOLVED, resolved_ms=now_ms, reason=reason, muted_by="", escalated=0
    )
    if was_told(current):
        return _told(incident, Action.RESOLVE, Happening.RESOLVED, now_ms, actor)
    return _recorded(incident, Happening.RESOLVED, now_ms, actor)


# ------------------------------------------------------------------------------------------------- when


def due_ms(incident: Incident, policy: Policy) -> int | None:
    """When `on_tick` next has something to do with it; None: not before something else happens."""
    update = incident.notified_ms + policy.update_every_ms if _is_untold(incident) else None
    if not is_open(incident):
        return min(at for at in (update, _forget_ms(incident, policy)) if at is not None)
    all_due = (
        update,
        _quiet_ms(incident),
        _held_ms(incident),
        _escalation_ms(incident, policy),
        _repeat_ms(incident),
    )
    return min((at for at in all_due if at is not None), default=None)


def _is_due(at_ms: int | None, now_ms: int) -> bool:
    return at_ms is not None and now_ms >= at_ms


def _is_untold(incident: Incident) -> bool:
    """Whether its message no longer says how things are."""
    shown = incident.state not in (IncidentState.PENDING, IncidentState.SILENCED)
    return shown and was_told(incident) and incident.version > incident.notified_version


def _forget_ms(incident: Incident, policy: Policy) -> int:
    return (incident.resolved_ms or 0) + policy.reopen_within_ms + 1


def _quiet_ms(incident: Incident) -> int | None:
    """When it has been quiet for long enough."""
    if incident.resolve_after_s is None:
        return None
    return incident.last_received_ms + round(incident.resolve_after_s * 1000)


def _held_ms(incident: Incident) -> int | None:
    """When it has gone on for as long as its rule asks."""
    if incident.state is not IncidentState.PENDING:
        return None
    return incident.opened_ms + round(incident.for_s * 1000)


def _escalation_ms(incident: Incident, policy: Policy) -> int | None:
    if incident.state is not IncidentState.FIRING:
        return None
    steps = policy.steps_of(incident)
    return incident.firing_since_ms + steps[incident.escalated] if incident.escalated < len(steps) else None


def _repeat_ms(incident: Incident) -> int | None:
    if incident.state is not IncidentState.FIRING or incident.repeat_every_s is None:
        return None
    return max(incident.firing_since_ms, incident.repeated_ms) + round(incident.repeat_every_s * 1000)


# ---------------------------------------------------------------------------------------------- changes


def _open(candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    incident = Incident(
        incident_id=new_id(candidate),
        incident_key=candidate.incident_key,
        rule_id=candidate.rule_id,
        group=candidate.group,
        severity=candidate.severity,
        title=candidate.title,
        state=IncidentState.PENDING,
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
        owner=candidate.owner,
        text=candidate.text,
        for_s=candidate.for_s,
        repeat_every_s=candidate.repeat_every_s,
        rule_kind=candidate.rule_kind,
    )
    if candidate.for_s > 0:
        return Decision(changed=(incident,))
    return _begin(incident, now_ms, policy, Action.OPEN, Happening.OPENED)


def _begin(incident: Incident, now_ms: int, policy: Policy, action: Action, happening: Happening) -> Decision:
    """It begins to fire, or, where it is muted, to be silent."""
    mute = policy.mute_of(incident, now_ms)
    if mute:
        silent = msgspec.structs.replace(incident, state=IncidentState.SILENCED, muted_by=mute)
        return _recorded(silent, happening, now_ms, incident.rule_id)
    firing = msgspec.structs.replace(_firing(incident, now_ms), muted_by="")
    return _told(firing, action, happening, now_ms, incident.rule_id)


def _count(current: Incident, candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    rises = SEVERITY_RANK[candidate.severity] > SEVERITY_RANK[current.severity]
    incident = _with(current, candidate, now_ms)
    if rises:
        incident = msgspec.structs.replace(incident, severity=candidate.severity)
        if current.state is IncidentState.ACKNOWLEDGED:
            # Whoever acknowledged it did not know that it would become worse.
            if current.muted_by:
                incident = msgspec.structs.replace(incident, state=IncidentState.SILENCED, acknowledged_by=None)
            else:
                incident = _firing(incident, now_ms)
    if incident.state is IncidentState.FIRING and not was_told(incident):
        return _told(incident, Action.OPEN, Happening.UPDATED, now_ms, candidate.rule_id)
    due = rises or now_ms - current.notified_ms >= policy.update_every_ms
    if due and was_told(incident) and incident.state is not IncidentState.SILENCED:
        return _edited(incident, Happening.UPDATED, now_ms, candidate.rule_id)
    return Decision(changed=(incident,))


def _amend(current: Incident, candidate: Candidate, now_ms: int) -> Decision:
    """Late events belong to a time that is over: they are counted in, and open nothing again."""
    return Decision(changed=(_counted(current, candidate, now_ms),))


def _reopen(current: Incident, candidate: Candidate, now_ms: int, policy: Policy) -> Decision:
    incident = msgspec.structs.replace(
        _with(current, candidate, now_ms),
        severity=candidate.severity,
        resolved_ms=None,
        acknowledged_by=None,
        acknowledged_ms=None,
        reopened=current.reopened + 1,
        reason="",
    )
    action = Action.REOPEN if was_told(current) else Action.OPEN
    return _begin(incident, now_ms, policy, action, Happening.REOPENED)


def _firing(incident: Incident, now_ms: int) -> Incident:
    return msgspec.structs.replace(
        incident,
        state=IncidentState.FIRING,
        firing_since_ms=now_ms,
        escalated=0,
        acknowledged_by=None,
        acknowledged_ms=None,
    )


def _with(current: Incident, candidate: Candidate, now_ms: int) -> Incident:
    """The incident with a candidate's events counted in, and told as the rule now says. Severity never falls while it
    is open."""
    counted = _counted(current, candidate, now_ms)
    if candidate.late:
        return counted
    return msgspec.structs.replace(
        counted,
        title=candidate.title,
        text=candidate.text,
        last_received_ms=max(current.last_received_ms, now_ms),
        sample=candidate.sample,
        resolve_after_s=candidate.resolve_after_s,
        repeat_every_s=candidate.repeat_every_s,
        route=candidate.route,
        owner=candidate.owner,
        runbook=candidate.runbook,
        labels=candidate.labels,
        rule_kind=candidate.rule_kind,
    )


def _counted(current: Incident, candidate: Candidate, now_ms: int) -> Incident:
    return _next(
        current,
        now_ms,
        count=current.count + candidate.count,
        first_ms=min(current.first_ms, candidate.first_ms),
        last_ms=max(current.last_ms, candidate.last_ms),
    )


def _next(current: Incident, now_ms: int, **changes: object) -> Incident:
    return msgspec.structs.replace(current, version=current.version + 1, updated_ms=now_ms, **changes)


# ------------------------------------------------------------------------------------------ what is told


def _told(incident: Incident, action: Action, happening: Happening, now_ms: int, actor: str) -> Decision:
    """The decision that changes an incident, tells people and records it."""
    incident = msgspec.structs.replace(incident, notified_version=incident.version, notified_ms=now_ms)
    notification = Notification(action=action, incident=incident, created_ms=now_ms)
    return Decision((incident,), (), (notification,), (_event(incident, happening, now_ms, actor),))


def _edited(incident: Incident, happening: Happening, now_ms: int, actor: str) -> Decision:
    """The same by an edit of the message that there is; where there is none, it is recorded alone."""
    if was_told(incident):
        return _told(incident, Action.UPDATE, happening, now_ms, actor)
    return _recorded(incident, happening, now_ms, actor)


def _recorded(incident: Incident, happening: Happening, now_ms: int, actor: str) -> Decision:
    """The decision that changes an incident and tells nobody."""
    return Decision(changed=(incident,), events=(_event(incident, happening, now_ms, actor),))


def _event(incident: Incident, happening: Happening, now_ms: int, actor: str) -> IncidentEvent:
    reason = incident.muted_by if incident.state is IncidentState.SILENCED else incident.reason
    return IncidentEvent(happening=happening, at_ms=now_ms, actor=actor, reason=reason, incident=incident)
