"""A desk whose Kafka is a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.alerting.desk import Desk, Input
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.messages import (
    Action,
    AuditEntry,
    Candidate,
    Command,
    Incident,
    Matcher,
    Notification,
    Order,
    Sample,
    Severity,
    Silence,
)
from streaming.alerting.muting.matchers import parse_matcher
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level
from streaming.kafka import topics

ALERTING = (Action.OPEN, Action.REOPEN, Action.REPEAT, Action.ESCALATE)
"""What a person is alerted by: an edit alerts nobody."""


class Office:
    """A desk, what it has written, and its clock in ms."""

    def __init__(self, rules: RuleSet, now: int = 0) -> None:
        self.rules, self.now = rules, now
        self.desk = Desk(rules)
        self.states: dict[str, bytes] = {}
        self.kept: dict[str, dict[bytes, bytes]] = {topics.RULE_STATE: {}, topics.SILENCES: {}}
        self.audit: list[AuditEntry] = []
        self.told: list[Notification] = []
        """By the last step."""

    def take(self, given: Input) -> list[Action]:
        """Something comes in."""
        return self._written([self.desk.take(given, self.now)])

    def tick(self, at: int | None = None) -> list[Action]:
        """It becomes `at`; ticks when it says that something is due, as often as it does."""
        self.now = self.now if at is None else at
        decisions: list[Decision] = []
        while (due := self.desk.next_due_ms()) is not None and due <= self.now and len(decisions) < 1000:
            decisions.append(self.desk.tick(self.now))
        return self._written(decisions)

    def take_rules(self, rules: RuleSet) -> list[Action]:
        """Other rules are in force."""
        self.rules = rules
        return self._written([self.desk.take_rules(rules, self.now)])

    def restart(self, rules: RuleSet | None = None) -> list[Action]:
        """A new manager takes over from what was written."""
        self.rules = rules or self.rules
        self.desk = Desk(self.rules)
        incidents = [msgspec.json.decode(value, type=Incident) for value in self.states.values()]
        self.desk.restore(incidents, self.kept[topics.RULE_STATE], self.kept[topics.SILENCES])
        return self.tick()

    def candidate(
        self,
        rule: str,
        service: str = "s",
        *,
        severity: Severity = Severity.ERROR,
        node: str = "n1",
        group: dict[str, str] | None = None,
        for_s: float = 0,
        quiet_s: float | None = None,
        labels: dict[str, str] | None = None,
    ) -> list[Action]:
        """A rule fires."""
        found = Candidate(
            rule_id=rule,
            group={"service.name": service} if group is None else group,
            severity=severity,
            title=f"{rule} of {service}",
            count=1,
            first_ms=self.now,
            last_ms=self.now,
            received_ms=self.now,
            sample=Sample(timestamp_ms=self.now, level=Level.ERROR, message="m", service=service, node_id=node),
            resolve_after_s=quiet_s,
            for_s=for_s,
            labels=labels or {},
        )
        return self.take(found)

    def order(self, order: Order, incident: Incident) -> list[Action]:
        """An order about an incident."""
        note = "look at the disk" if order is Order.ANNOTATE else ""
        return self.take(
            Command(order=order, author="ann", at_ms=self.now, incident_id=incident.incident_id, note=note)
        )

    def silence(
        self, silence_id: str, conditions: Sequence[str | Matcher], starts: int, ends: int, reason: str = ""
    ) -> str:
        """Makes or changes a silence; what came of it."""
        matchers = tuple(parse_matcher(one) if isinstance(one, str) else one for one in conditions)
        silence = Silence(
            silence_id=silence_id,
            matchers=matchers,
            starts_ms=starts,
            ends_ms=ends,
            author="ann",
            reason=reason,
            created_ms=0,
        )
        self.take(Command(order=Order.SILENCE, author="ann", at_ms=self.now, silence=silence))
        return self.audit[-1].outcome

    def unsilence(self, silence_id: str) -> str:
        """Ends a silence; what came of it."""
        self.take(Command(order=Order.UNSILENCE, author="ann", at_ms=self.now, silence_id=silence_id))
        return self.audit[-1].outcome

    def incident(self, rule: str, service: str | None = "s") -> Incident:
        """The one of this rule and service."""
        (found,) = [
            incident
            for incident in self.desk.book.by_key.values()
            if incident.rule_id == rule and (service is None or incident.group.get("service.name", service) == service)
        ]
        return found

    def _written(self, decisions: list[Decision]) -> list[Action]:
        self.told = [told for decision in decisions for told in decision.notifications]
        for decision in decisions:
            for incident in decision.forgotten:
                self.states.pop(incident.incident_id, None)
            for incident in decision.changed:
                self.states[incident.incident_id] = msgspec.json.encode(incident)
            for record in decision.kept:
                if isinstance(record.value, AuditEntry):
                    self.audit.append(record.value)
                elif record.value is None:
                    self.kept[record.topic].pop(record.key, None)
                else:
                    self.kept[record.topic][record.key] = msgspec.json.encode(record.value)
        return [told.action for told in self.told]
