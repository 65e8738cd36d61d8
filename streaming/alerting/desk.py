"""The alert manager's desk: everything it knows, and what follows from what comes in. Pure.

Whatever is the same for the live manager, a backtest and a test of rules is here; none of them has a way of its own
to an incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from streaming.alerting.audit_rule import AUDIT_RULE
from streaming.alerting.candidates import RULES_RULE
from streaming.alerting.failing_receiver import RECEIVER_RULE
from streaming.alerting.incidents.book import Book
from streaming.alerting.incidents.decision import NOTHING, Decision, Kept, Outcome, joined
from streaming.alerting.incidents.lifecycle import Policy, is_open
from streaming.alerting.incidents.notes import why_not_annotated
from streaming.alerting.memory.memory import Memory
from streaming.alerting.messages import (
    DONE,
    NO_SUCH_INCIDENT,
    AuditEntry,
    Candidate,
    Command,
    Count,
    Finding,
    Incident,
    Order,
    Progress,
    Recovery,
    Seen,
    Silence,
)
from streaming.alerting.muting.mutes import MuteChange, Mutes
from streaming.alerting.nodes import NodeRules
from streaming.alerting.pipeline import PipelineRules
from streaming.alerting.relations.relations import Relations
from streaming.alerting.routing import Routing
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.text import cut
from streaming.heartbeat.messages import NodeStatus
from streaming.kafka import topics
from streaming.pipeline.messages import PipelineStatus

Input = Finding | NodeStatus | PipelineStatus | Command

OWN_RULES = frozenset({RULES_RULE, RECEIVER_RULE, AUDIT_RULE})
"""Ids under which Vigil raises incidents of itself, without a rule of the files."""

AUDITED_NOTE = 300
"""Characters of a note that the audit keeps: it is kept for 90 days in 64 MiB."""

RULE_GONE = "its rule is no longer in force"
_ENDED_HERE = ("match", "node-health", "")

ORPHANS_AFTER_MS = 10_000
"""How long a matcher may still go by the rules of before: it looks at its files every other second, and one that is
busy commits what it counted by them first."""
ORPHANS_A_TICK = 1_000
"""Incidents that one tick ends; the next one goes on."""
_FROM_NEXT_TICK = -1
"""The time runs from the next tick: whoever restores has no clock."""

RESTORED_FROM = (topics.INCIDENT_STATE, topics.RULE_STATE, topics.SILENCES)
"""The compacted topics that hold all of a desk's state."""


class Desk:
    """Takes in one thing after the other, each with the manager's clock, and says what follows.

    The order of what comes in is the order of what is decided: the same input, with the same clock, gives the same
    incidents, notifications and history. `partitions`: how many topic `logs` has, where that is known (`Watermark`).
    """

    def __init__(self, rules: RuleSet, policy: Policy | None = None, partitions: int | None = None) -> None:
        self.book = Book(replace(policy or Policy(), mute_of=self._mute_of, steps_of=self._steps_of))
        self._memory, self._relations = Memory(rules, partitions), Relations(rules, self.book.by_key)
        self._mutes = Mutes(rules, self.book.by_key)
        self._orphans_due_ms: int | None = None
        self._with(rules)

    def _with(self, rules: RuleSet) -> None:
        self.rules = rules
        self._kinds = {rule.id: rule.kind for rule in rules.rules}
        self._in_force = {rule.id for rule in rules.rules if rule.enabled} | OWN_RULES
        self._nodes, self._routing = NodeRules(rules), Routing(rules)
        self._pipeline = PipelineRules(rules, self.book.by_key)

    def restore(
        self, incidents: Iterable[Incident], state: Mapping[bytes, bytes], silences: Mapping[bytes, bytes]
    ) -> None:
        """Takes over what was kept: incidents (besides those that it followed), and the records of topics `rule-state`
        and `silences`."""
        for incident in incidents:
            self.follow(incident)
        self._orphans_due_ms = _FROM_NEXT_TICK
        self._memory.restore(state)
        self._relations.restore(state)
        self._mutes.restore(silences)

    def follow(self, incident: Incident) -> None:
        """Takes over an incident as another desk decided it. A standby does so as it is written, so that little is
        left to do for `restore`."""
        self.book.put(incident)
        self._mutes.follow(incident.incident_key)

    def unfollow(self, incident_id: str) -> None:
        """Likewise one that the other desk has forgotten."""
        key = self.book.drop(incident_id)
        if key is not None:
            self._mutes.follow(key)

    def take_rules(self, rules: RuleSet, now_ms: int) -> Decision:
        """Other rules are in force from now on."""
        if rules.version == self.rules.version:
            return NOTHING
        self._with(rules)
        self._orphans_due_ms = now_ms + ORPHANS_AFTER_MS
        self.book.schedule_again()
        decisions = [
            self._conclude(self._memory.take_rules(rules, now_ms), now_ms),
            self._conclude(self._relations.take_rules(rules, now_ms), now_ms),
            self._look_again(self._mutes.take_rules(rules, now_ms), now_ms),
        ]
        return self._whole(decisions, now_ms)

    def take(self, given: Input, now_ms: int) -> Decision:
        """What follows from one thing that came in."""
        return self._whole([self._taken(given, now_ms)], now_ms)

    def tick(self, now_ms: int) -> Decision:
        """Time has passed: does what is due."""
        decisions = [
            self._end_orphans(now_ms),
            self._look_again(self._mutes.tick(now_ms), now_ms),
            self._conclude(self._relations.tick(now_ms), now_ms),
            self.book.tick(now_ms),
        ]
        return self._whole(decisions, now_ms)

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        all_due = (
            self.book.next_due_ms(),
            self._mutes.next_due_ms(),
            self._relations.next_due_ms(),
            self._orphans_due_ms,
        )
        return min((at for at in all_due if at is not None), default=None)

    def clock_was_set(self, by_ms: int) -> Decision:
        """The clock was set by so much: what counts from a time in the past counts from the same moment as before."""
        if self._orphans_due_ms not in (None, _FROM_NEXT_TICK):
            self._orphans_due_ms += by_ms
        kept = self._memory.clock_was_set(by_ms).kept + self._relations.clock_was_set(by_ms).kept
        return joined([self.book.clock_was_set(by_ms), Decision(kept=kept)])

    # ------------------------------------------------------------------------------------------- within

    def _end_orphans(self, now_ms: int) -> Decision:
        """Incidents of match and node rules that are gone or disabled are over: nothing else would ever end some of
        them (the other kinds end their own). Looked for some time after a change of rules, after a restart, during
        which they may have changed, and after a candidate of such a rule: a matcher that had not heard of the change
        yet would else open an incident for ever."""
        if self._orphans_due_ms == _FROM_NEXT_TICK:
            self._orphans_due_ms = now_ms + ORPHANS_AFTER_MS
        if self._orphans_due_ms is None or now_ms < self._orphans_due_ms:
            return NOTHING
        orphans = [
            incident
            for incident in self.book.by_key.values()
            if incident.rule_id not in self._in_force and incident.rule_kind in _ENDED_HERE and is_open(incident)
        ]
        if len(orphans) <= ORPHANS_A_TICK:
            self._orphans_due_ms = None
        ended = orphans[:ORPHANS_A_TICK]
        return joined([self.book.recovery(i.incident_key, RULE_GONE, i.rule_id, now_ms) for i in ended])

    def _mute_of(self, incident: Incident, now_ms: int) -> str:
        return self._mutes.mute_of(incident, now_ms)

    def _steps_of(self, incident: Incident) -> Sequence[int]:
        return self._routing.steps_of(incident)

    def _taken(self, given: Input, now_ms: int) -> Decision:
        match given:
            case Candidate() | Recovery():
                return self._find(given, now_ms)
            case Count():
                return self._conclude(self._memory.count(given, now_ms), now_ms)
            case Seen():
                return self._conclude(self._memory.seen(given, now_ms), now_ms)
            case Progress():
                return self._conclude(self._memory.progress(given, now_ms), now_ms)
            case NodeStatus():
                return self._conclude(self._nodes.status(given), now_ms)
            case PipelineStatus():
                return self._conclude(self._pipeline.status(given, now_ms), now_ms)
            case Command():
                return self._obey(given, now_ms)

    def _find(self, found: Candidate | Recovery, now_ms: int) -> Decision:
        if isinstance(found, Candidate):
            kind = self._kinds.get(found.rule_id, "")
            if found.rule_id not in self._in_force and self._orphans_due_ms is None:
                self._orphans_due_ms = now_ms + ORPHANS_AFTER_MS
            return self.book.candidate(msgspec.structs.replace(found, rule_kind=kind), now_ms)
        return self.book.recovery(found.incident_key, found.reason, found.rule_id, now_ms)

    def _conclude(self, outcome: Outcome, now_ms: int) -> Decision:
        decisions = [self._find(found, now_ms) for found in outcome.findings]
        return joined([*decisions, Decision(kept=outcome.kept)]) if decisions or outcome.kept else NOTHING

    def _obey(self, command: Command, now_ms: int) -> Decision:
        """Does what is ordered, and writes down who ordered it and what came of it."""
        if command.order in (Order.SILENCE, Order.UNSILENCE):
            change = self._mutes.command(command, now_ms)
            target = command.silence_id or (command.silence.silence_id if command.silence else "")
            audited = _audited(command, target, change.outcome, now_ms, change.silence)
            return joined([self._look_again(change, now_ms), Decision(kept=(audited,))])
        meant = self.book.meant(command)
        target = command.incident_id or command.incident_key or ""
        done = self.book.command(command, now_ms)
        outcome = DONE if done is not NOTHING else _why_not(meant, command)
        return joined([done, Decision(kept=(_audited(command, target, outcome, now_ms),))])

    def _look_again(self, change: MuteChange, now_ms: int) -> Decision:
        decisions = [self.book.look_again(key, now_ms) for key in sorted(change.look_again)]
        return joined([*decisions, Decision(kept=change.kept)]) if decisions or change.kept else NOTHING

    def _whole(self, decisions: list[Decision], now_ms: int) -> Decision:
        """With what follows from the incidents that changed, and addressed."""
        while moves := self.book.taken_moves():
            for before, after in moves:
                decisions.append(self._conclude(self._relations.changed(before, after, now_ms), now_ms))
                again = MuteChange(self._mutes.changed(before, after, now_ms))
                decisions.append(self._look_again(again, now_ms))
        whole = joined(decisions)
        told = tuple(self._routing.addressed(notification, now_ms) for notification in whole.notifications)
        return replace(whole, notifications=told) if told else whole


def _why_not(incident: Incident | None, command: Command) -> str:
    if incident is None:
        return NO_SUCH_INCIDENT
    if command.order is Order.ANNOTATE:
        return why_not_annotated(incident, command)
    return f"it is {incident.state.value}" if is_open(incident) else "it is resolved"


def _audited(command: Command, target: str, outcome: str, now_ms: int, silence: Silence | None = None) -> Kept:
    entry = AuditEntry(
        at_ms=now_ms,
        author=command.author,
        order=command.order,
        target=target,
        reason=command.reason,
        outcome=outcome,
        order_id=command.order_id,
        silence=silence,
        note=cut(command.note, AUDITED_NOTE),
    )
    return Kept(topics.AUDIT, target.encode("utf-8", "replace"), entry)
