"""What is kept of the past: events of incidents, orders of people, rule sets in force, what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from streaming import decoding
from streaming.alerting.messages import Attempt, AuditEntry, IncidentEvent, Notification, Order
from streaming.alerting.rules.ruleset import RuleSet
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

T = TypeVar("T")

INCIDENT_MARGIN_MS = 60_000
"""Append time is that of the broker's clock, event times are the manager's: read from this much before."""


class History:
    """Reads the topics that are kept by time. Records that cannot be read are passed over.

    Raises (every method): Unavailable, where Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def events(self, wanted: Callable[[IncidentEvent], bool], since_ms: int = 0) -> list[IncidentEvent]:
        """Of incidents, in order (topic `incident-events`, kept for 30 days)."""
        return [event for event in self._read(topics.INCIDENT_EVENTS, IncidentEvent, since_ms) if wanted(event)]

    def notifications(self, incident_id: str, since_ms: int = 0) -> list[Notification]:
        """What was to be sent of an incident, in order (topic `notifications`, kept for a day)."""
        found = self._read(topics.NOTIFICATIONS, Notification, since_ms)
        return [told for told in found if told.incident.incident_id == incident_id]

    def attempts(self, incident_id: str, since_ms: int = 0) -> list[Attempt]:
        """What receivers made of it, in order (topic `delivery-attempts`, kept for 30 days)."""
        tried = self._read(topics.DELIVERY_ATTEMPTS, Attempt, since_ms)
        return [attempt for attempt in tried if attempt.incident_id == incident_id]

    def audit(self, wanted: Callable[[AuditEntry], bool], since_ms: int = 0) -> list[AuditEntry]:
        """Orders, in order (topic `audit`, kept for 90 days)."""
        return [entry for entry in self._read(topics.AUDIT, AuditEntry, since_ms) if wanted(entry)]

    def rules_at(self, at_ms: int) -> tuple[RuleSet | None, bool]:
        """The rule set that was in force then, and whether that is certain: of the time before the audit begins the
        set in force now stands in.

        Raises:
            ConfigError: it was written by a version of Vigil whose rules this one does not know.
        """
        changes = self.audit(lambda entry: entry.order is Order.APPLY_RULES)
        before = [entry for entry in changes if entry.at_ms <= at_ms]
        kept = read_all(self._settings, topics.RULE_SETS)
        if before and (value := kept.get(before[-1].target.encode())):
            return RuleSet.decode(value), True
        value = kept.get(b"last-good")
        return (RuleSet.decode(value) if value else None), False

    def _read(self, name: str, kind: type[T], since_ms: int) -> Iterator[T]:
        decoder = decoding.decoder(kind)
        with RangeReader(self._settings, "history") as reader:
            for record in reader.read_since(self._settings.topic(name), since_ms - INCIDENT_MARGIN_MS):
                try:
                    yield decoder.decode(record.value() or b"")
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
