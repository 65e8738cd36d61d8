"""Rules about the incidents of other rules, together."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.alerting.incidents.decision import NO_OUTCOME, Outcome, joined_outcomes
from streaming.alerting.messages import Incident
from streaming.alerting.relations.composite import Composites
from streaming.alerting.relations.flapping import Flapping
from streaming.alerting.rules.ruleset import RuleSet


class Relations:
    """Follows every incident that opens, resolves or reopens. What flapping rules count is kept in topic `rule-state`;
    which incidents are open is known from the incidents themselves: `incidents` is the book's, by key, only read."""

    def __init__(self, rules: RuleSet, incidents: Mapping[str, Incident]) -> None:
        self._composites, self._flapping = Composites(rules, incidents), Flapping(rules)

    def take_rules(self, rules: RuleSet, now_ms: int) -> Outcome:
        """Other rules are in force; composite ones are concluded anew."""
        return _both(self._composites.take_rules(rules, now_ms), self._flapping.take_rules(rules, now_ms))

    def restore(self, records: Mapping[bytes, bytes]) -> None:
        """Takes over the incidents that there are, and what is ours of the records of topic `rule-state`."""
        self._composites.restore()
        self._flapping.restore(records)

    def changed(self, before: Incident | None, after: Incident | None, now_ms: int) -> Outcome:
        """An incident changed; None: there was or is none. Pending ones count as not open.

        Call it once for each change, in order, with the book's incidents as they are after it or later.
        """
        return _both(self._composites.changed(before, after, now_ms), self._flapping.changed(before, after, now_ms))

    def tick(self, now_ms: int) -> Outcome:
        """Time has passed: what flapped may have calmed down, and rules come into force at their times."""
        return _both(self._composites.tick(now_ms), self._flapping.tick(now_ms))

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        all_due = (self._composites.next_due_ms(), self._flapping.next_due_ms())
        return min((at for at in all_due if at is not None), default=None)

    def clock_was_set(self, by_ms: int) -> Outcome:
        """The clock was set by so much."""
        return self._flapping.clock_was_set(by_ms)


def _both(first: Outcome, second: Outcome) -> Outcome:
    if first is NO_OUTCOME:
        return second
    return first if second is NO_OUTCOME else joined_outcomes([first, second])
