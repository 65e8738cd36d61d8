"""Rules of kinds `new-value` and `new-template`: which values were seen, and when last.

A value's last sight is held by the day, so that what is kept of one that comes all the time changes once a day.
"""

from __future__ import annotations

from streaming.alerting.fields import bounded
from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.incidents.decision import NO_OUTCOME, Kept, Outcome
from streaming.alerting.memory.due import Due
from streaming.alerting.memory.records import VALUE, ValueRecord, kept, key_of, name_of
from streaming.alerting.memory.telling import candidate
from streaming.alerting.messages import Candidate, Recovery, Seen
from streaming.alerting.rules.new_value import TEMPLATE_FIELD, NewTemplateRule, NewValueRule

DAY_MS = 86_400_000

SeenRule = NewValueRule | NewTemplateRule


class Values:
    """The values that one rule has seen.

    Bounded: `max_values`, each some 250 bytes; beyond, the one not seen for longest is given up (of those last seen on
    the same day, the first by name).
    """

    word, kind = VALUE, ValueRecord
    """Of its records: the word in their keys, and what they are."""

    def __init__(self, rule: SeenRule) -> None:
        self._days: dict[str, int] = {}
        self._groups: dict[str, dict[str, str]] = {}
        """Of those that raised an incident, its group."""
        self._oldest = Due()
        self.rule = rule
        self.started_ms = 0
        """When the rule came into force, by the manager's clock."""

    @property
    def field(self) -> str:
        """Field of an incident's group that holds the value."""
        return TEMPLATE_FIELD if isinstance(self.rule, NewTemplateRule) else self.rule.field

    def restore(self, name: str, record: ValueRecord) -> None:
        """Takes a value over."""
        if record.group:
            self._groups[name] = record.group
        self._put(name, record.day)

    def drop(self, reason: str, now_ms: int) -> Outcome:
        """The rule is gone: its incidents are over, its records given up."""
        groups = [*self._groups.values(), OTHER_GROUPS] if self._groups else []
        over = [Recovery(rule_id=self.rule.id, group=group, received_ms=now_ms, reason=reason) for group in groups]
        return Outcome(tuple(over), tuple(kept(key_of(self.rule.id, VALUE, name), None) for name in self._days))

    def seen(self, seen: Seen) -> Outcome:
        """A value was seen: fires if it is new and the time of learning is over."""
        group = seen.group | {self.field: bounded(seen.value)}
        name, day = name_of(group), seen.received_ms // DAY_MS
        gone = self.forgotten(seen.received_ms)
        before = self._days.get(name)
        if before is not None and day <= before:
            return Outcome(kept=gone) if gone else NO_OUTCOME
        fires = before is None and seen.received_ms >= self.started_ms + round(self.rule.learn_for * 1000)
        if fires:
            self._groups[name] = group
        records = (*gone, *self._evicted(name), self._put(name, day))
        return Outcome((self._candidate(group, seen),) if fires else (), records)

    def forgotten(self, now_ms: int) -> tuple[Kept, ...]:
        """Gives up what was not seen for `forget_after`."""
        until_day = (now_ms - round(self.rule.forget_after * 1000)) // DAY_MS - 1
        return tuple(self._given_up(name) for name in list(self._oldest.taken(until_day)))

    def _evicted(self, name: str) -> list[Kept]:
        """Makes room for a value."""
        too_many = len(self._days) + (name not in self._days) - self.rule.max_values
        if name in self._days:
            self._oldest.at(name, None)
        return [self._given_up(self._oldest.first()) for _ in range(too_many)]

    def _put(self, name: str, day: int) -> Kept:
        self._days[name] = day
        self._oldest.at(name, day)
        return kept(key_of(self.rule.id, VALUE, name), ValueRecord(day, self._groups.get(name, {})))

    def _given_up(self, name: str) -> Kept:
        del self._days[name]
        self._groups.pop(name, None)
        return kept(key_of(self.rule.id, VALUE, name), None)

    def _candidate(self, group: dict[str, str], seen: Seen) -> Candidate:
        return candidate(
            self.rule,
            group,
            seen.sample,
            {"value": seen.value, "template": seen.shown, "count": seen.count},
            count=seen.count,
            first_ms=seen.first_ms,
            last_ms=seen.last_ms,
            received_ms=seen.received_ms,
            resolve_after_s=self.rule.resolve_after,
            max_groups=self.rule.max_groups,
        )
