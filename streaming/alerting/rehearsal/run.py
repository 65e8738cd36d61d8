"""The matcher's evaluation and the manager's desk, joined by a simulated clock instead of Kafka. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.alerting.desk import Desk, Input
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.findings import Evaluated
from streaming.alerting.messages import Incident, IncidentEvent, Notification, Progress
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.stored.documents import StoredLog

ROUND_MS = 50
"""What fires within so much time is told together, as a live matcher tells what one round read."""

COUNT_MS = 500
"""As `PARTIAL_COUNT_INTERVAL_S` of the live matcher: counts wait for so long."""

PROGRESS_MS = 1_000
MATCHER = "rehearsal"


@dataclass
class Rehearsed:
    """What came of it: every incident as it is at the end or was when it was forgotten, and all that was told and
    recorded, in order."""

    logs: int = 0
    incidents: dict[str, Incident] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    events: list[IncidentEvent] = field(default_factory=list)


class Rehearsal:
    """Feed it logs in the order in which they came, then let time pass; the clock never goes back.

    What it decides is what a matcher and a manager would decide that read the same logs as they came. `partitions` is
    how many the logs lie in: silence is concluded from all of them.
    """

    def __init__(self, rules: RuleSet, began_ms: int, partitions: int = 1) -> None:
        self.found = Rehearsed()
        self._desk, self._evaluation = Desk(rules, partitions=partitions), Evaluation(rules)
        self._now_ms = began_ms
        self._partitions = range(partitions)
        self._version = rules.version
        self._fired_ms: int | None = None
        self._counted_ms: int | None = None
        self._progress_ms = began_ms
        self._tell_progress()

    @property
    def now_ms(self) -> int:
        """Of the simulated clock."""
        return self._now_ms

    def log(self, log: StoredLog) -> None:
        """A log comes to the matchers."""
        self.pass_until(log.came_ms or log.received_ms)
        self._evaluation.now_ms = self._now_ms
        arrival = self._evaluation.arrival(log.received_ms)
        self._evaluation.take_event(log.event, arrival, Evaluated(log.event, log.source, log.received_ms))
        self._evaluation.settle()
        self.found.logs += 1
        if self._evaluation.urgent and self._fired_ms is None:
            self._fired_ms = self._now_ms + ROUND_MS
        if self._evaluation and self._counted_ms is None:
            self._counted_ms = self._now_ms + COUNT_MS

    def take(self, given: Input, at_ms: int) -> None:
        """Something else came to the manager: a node's state, an order."""
        self.pass_until(at_ms)
        self._keep(self._desk.take(given, self._now_ms))

    def pass_until(self, at_ms: int) -> None:
        """Time passes: what is due meanwhile happens when it is due."""
        while (due := self._next_due_ms()) <= at_ms:
            self._now_ms = max(self._now_ms, due)
            self._do_what_is_due()
        self._now_ms = max(self._now_ms, at_ms)

    def finish(self, at_ms: int) -> Rehearsed:
        """Lets time pass until then, and tells what came of it all."""
        self.pass_until(at_ms)
        self._tell_findings()
        for incident in self._desk.book.by_key.values():
            self.found.incidents[incident.incident_id] = incident
        return self.found

    def _next_due_ms(self) -> int:
        all_due = (self._progress_ms, self._fired_ms, self._counted_ms, self._desk.next_due_ms())
        return min(at for at in all_due if at is not None)

    def _do_what_is_due(self) -> None:
        now = self._now_ms
        fired, counted = self._fired_ms, self._counted_ms
        if (fired is not None and fired <= now) or (counted is not None and counted <= now):
            self._tell_findings()
        if self._progress_ms <= now:
            self._tell_findings()
            self._tell_progress()
        self._keep(self._desk.tick(now))

    def _tell_findings(self) -> None:
        self._evaluation.now_ms = self._now_ms
        for finding in self._evaluation.findings():
            self._keep(self._desk.take(finding, self._now_ms))
        self._evaluation.committed()
        self._fired_ms = self._counted_ms = None

    def _tell_progress(self) -> None:
        reached = dict.fromkeys(self._partitions, self._now_ms)
        progress = Progress(matcher=MATCHER, partitions=reached, rules_version=self._version)
        self._keep(self._desk.take(progress, self._now_ms))
        self._progress_ms = self._now_ms + PROGRESS_MS

    def _keep(self, decision: Decision) -> None:
        self.found.notifications += decision.notifications
        self.found.events += decision.events
        for incident in decision.forgotten:
            self.found.incidents[incident.incident_id] = incident
