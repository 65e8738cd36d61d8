"""The incidents of a period, from their history in Kafka (topic `incident-events`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from streaming import decoding
from streaming.alerting.messages import Happening, Severity
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from streaming.reports.model import IncidentLine, Incidents, Lengths, RuleLine
from streaming.reports.period import Period
from streaming.settings import Settings

MARGIN_MS = 60_000
"""Append time is that of the broker's clock, event times are the manager's: read from this much before."""

MOST = 20_000
"""Incidents of a period that are looked at, the first: 1 KB each at most, 20 MB."""

LISTED = 20
"""Rules and incidents each."""

CANARY_ROUTE = "canary"

_GRAVITY = {severity: place for place, severity in enumerate(reversed(Severity))}


class HistoryIncident(msgspec.Struct):
    """An incident as its history shows it: what a report needs of it."""

    incident_id: str
    rule_id: str
    severity: Severity
    title: str
    count: int
    route: str = "default"


class HistoryEvent(msgspec.Struct):
    """An entry of the history; `happening` as text, since a later version may know more of them."""

    happening: str
    at_ms: int
    incident: HistoryIncident


@dataclass
class _Story:
    """What became of an incident until the cut-off."""

    incident: HistoryIncident
    opened_ms: int
    acknowledged_ms: int | None = None
    resolved_ms: int | None = None
    reopened: int = 0


class IncidentBook:
    """Takes the history in, in order. Pure."""

    def __init__(self, period: Period) -> None:
        self._period = period
        self._stories: dict[str, _Story] = {}
        self.left_out = 0
        """Incidents for which there was no room."""

    def take(self, event: HistoryEvent) -> None:
        """An entry of the history. What is after the cut-off counts no more."""
        incident, period = event.incident, self._period
        if incident.route == CANARY_ROUTE or event.at_ms >= period.cutoff_ms:
            return
        story = self._stories.get(incident.incident_id)
        if story is None:
            if event.happening != Happening.OPENED or not period.start_ms <= event.at_ms < period.end_ms:
                return
            if len(self._stories) >= MOST:
                self.left_out += 1
                return
            story = self._stories[incident.incident_id] = _Story(incident, event.at_ms)
        story.incident = incident
        if event.happening == Happening.ACKNOWLEDGED and story.acknowledged_ms is None:
            story.acknowledged_ms = event.at_ms
        elif event.happening == Happening.RESOLVED:
            story.resolved_ms = event.at_ms
        elif event.happening == Happening.REOPENED:
            story.resolved_ms = None
            story.reopened += 1

    def told(self, known_since_ms: int | None = None) -> Incidents:
        """What there is to say."""
        stories = [*self._stories.values()]
        return Incidents(
            opened=len(stories),
            reopened=sum(story.reopened for story in stories),
            acknowledged=sum(story.acknowledged_ms is not None for story in stories),
            resolved=sum(story.resolved_ms is not None for story in stories),
            by_severity=_by_severity(stories),
            to_acknowledge=lengths(s.acknowledged_ms - s.opened_ms for s in stories if s.acknowledged_ms is not None),
            to_resolve=lengths(s.resolved_ms - s.opened_ms for s in stories if s.resolved_ms is not None),
            rules=_rules(stories)[:LISTED],
            worst=[_line(story) for story in sorted(stories, key=self._badness)[:LISTED]],
            known_since_ms=known_since_ms,
        )

    def _badness(self, story: _Story) -> tuple[int, int, str]:
        took_ms = (self._period.cutoff_ms if story.resolved_ms is None else story.resolved_ms) - story.opened_ms
        return _GRAVITY[story.incident.severity], -took_ms, story.incident.incident_id


def incidents_of(settings: Settings, period: Period) -> tuple[Incidents, int]:
    """The incidents that were opened in a period, and how many found no room here. Reads the history since then.

    Raises:
        Unavailable: Kafka does not answer.
    """
    book, decoder = IncidentBook(period), decoding.decoder(HistoryEvent)
    topic = settings.topic(topics.INCIDENT_EVENTS)
    with RangeReader(settings, "report") as reader:
        for record in reader.read_since(topic, period.start_ms - MARGIN_MS):
            try:
                book.take(decoder.decode(record.value() or b""))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        known_since_ms = known_since(reader, topic)
    cut = known_since_ms is not None and known_since_ms > period.start_ms
    return book.told(known_since_ms if cut else None), book.left_out


def known_since(reader: RangeReader, topic: str) -> int | None:
    """From when on a topic has all; None where nothing was ever deleted from it.

    Raises:
        Unavailable: Kafka does not answer, or there is no such topic.
    """
    bounds = reader.bounds_of(topic)
    firsts = {p: (b.start, b.end) for p, b in bounds.items() if b.start > 0}
    since_ms: int | None = None
    for partition, (start, end) in firsts.items():
        for batch in reader.read(topic, {partition: (start, end)}):
            since_ms = max(since_ms or 0, batch[0].timestamp()[1])
            break
    return since_ms


def lengths(values: Iterable[int]) -> Lengths:
    """Median, ninth decile and longest; a clock that was set back makes no length negative."""
    found = sorted(max(0, value) for value in values)
    if not found:
        return Lengths()
    return Lengths(len(found), _at(found, 0.5), _at(found, 0.9), found[-1])


def _at(found: Sequence[int], share: float) -> int:
    """Nearest rank."""
    return found[math.ceil(len(found) * share) - 1]


def _by_severity(stories: Iterable[_Story]) -> dict[str, int]:
    counts = Counter(story.incident.severity for story in stories)
    return {severity.value: counts[severity] for severity in sorted(counts, key=_GRAVITY.__getitem__)}


def _rules(stories: Iterable[_Story]) -> list[RuleLine]:
    by_rule: dict[str, list[_Story]] = {}
    for story in stories:
        by_rule.setdefault(story.incident.rule_id, []).append(story)
    found = [
        RuleLine(
            rule_id=rule_id,
            opened=len(own),
            reopened=sum(story.reopened for story in own),
            acknowledged=sum(story.acknowledged_ms is not None for story in own),
            logs=sum(story.incident.count for story in own),
        )
        for rule_id, own in by_rule.items()
    ]
    return sorted(found, key=lambda line: (-line.opened - line.reopened, -line.logs, line.rule_id))


def _line(story: _Story) -> IncidentLine:
    incident = story.incident
    return IncidentLine(
        incident_id=incident.incident_id,
        title=incident.title[:300],
        rule_id=incident.rule_id,
        severity=incident.severity.value,
        opened_ms=story.opened_ms,
        count=incident.count,
        acknowledged_ms=story.acknowledged_ms,
        resolved_ms=story.resolved_ms,
    )
