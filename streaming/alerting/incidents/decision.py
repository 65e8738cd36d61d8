"""What follows from what happened: the manager's only output, written in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from streaming.alerting.messages import Candidate, Incident, IncidentEvent, Notification, Recovery
from streaming.kafka import topics


class Kept(NamedTuple):
    """A record that the manager keeps beside the incidents; without a value the key is given up."""

    topic: str
    """Of the catalogue."""
    key: bytes
    value: msgspec.Struct | None


@dataclass(frozen=True)
class Decision:
    """What follows: incidents as they now are, those to forget, what to tell people, what to write into the history,
    and what else is kept."""

    changed: tuple[Incident, ...] = ()
    forgotten: tuple[Incident, ...] = ()
    notifications: tuple[Notification, ...] = ()
    events: tuple[IncidentEvent, ...] = ()
    kept: tuple[Kept, ...] = ()


NOTHING = Decision()


@dataclass(frozen=True)
class Outcome:
    """What a rule that counts, remembers or looks at other incidents concludes: it fires, or it is over; and what it
    keeps."""

    findings: tuple[Candidate | Recovery, ...] = ()
    kept: tuple[Kept, ...] = ()


NO_OUTCOME = Outcome()


def joined(decisions: Sequence[Decision]) -> Decision:
    """Decisions made one after another, as one; of an incident that changed twice, and of a record that was kept
    twice, the last state stands. The audit is a history: of that, all stand."""
    changed: dict[str, Incident] = {}
    forgotten: dict[str, Incident] = {}
    kept: dict[tuple[str, bytes], Kept] = {}
    audited: list[Kept] = []
    for decision in decisions:
        for incident in decision.forgotten:
            changed.pop(incident.incident_id, None)
            forgotten[incident.incident_id] = incident
        for incident in decision.changed:
            forgotten.pop(incident.incident_id, None)
            changed[incident.incident_id] = incident
        for record in decision.kept:
            if record.topic == topics.AUDIT:
                audited.append(record)
            else:
                kept[record.topic, record.key] = record
    return Decision(
        tuple(changed.values()),
        tuple(forgotten.values()),
        tuple(n for d in decisions for n in d.notifications),
        tuple(e for d in decisions for e in d.events),
        (*kept.values(), *audited),
    )


def joined_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Outcomes one after another, as one."""
    return Outcome(
        tuple(finding for outcome in outcomes for finding in outcome.findings),
        tuple(record for outcome in outcomes for record in outcome.kept),
    )
