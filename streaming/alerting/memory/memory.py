"""All that rules remember together: which part takes what matchers tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from streaming.alerting.incidents.decision import NO_OUTCOME, Kept, Outcome, joined_outcomes
from streaming.alerting.memory.kinds import (
    Keeper,
    RememberingRule,
    keeper_of,
    open_group,
    remembering,
    split,
)
from streaming.alerting.memory.records import (
    PROGRESS_KEY,
    RULE,
    ProgressRecord,
    RuleRecord,
    SilenceRecord,
    ValueRecord,
    WindowRecord,
    kept,
    key_of,
)
from streaming.alerting.memory.silence import Silence
from streaming.alerting.memory.values import Values
from streaming.alerting.memory.watermark import Watermark
from streaming.alerting.memory.windows import Windows
from streaming.alerting.messages import Count, Progress, Recovery, Seen
from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.definition import definition_of
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.kafka import topics
from streaming.kafka.compacted import readable

AHEAD_MS = 3_600_000
"""A log's time may lie so far ahead of this machine's clock. What lies further ahead, as told by an accumulator whose
clock is years off, is counted there: else its window would be open for years."""

GONE = "its rule is no longer in force"
CHANGED = "its rule was changed and counts anew"


@dataclass
class _Left:
    """What is kept of a rule that is not in force any more, or not as it was."""

    keys: list[bytes] = field(default_factory=list)
    groups: list[dict[str, str]] = field(default_factory=list)
    """Of its incidents that may be open."""


class Memory:
    """What the rules of kinds `threshold`, `spike`, `error-ratio`, `absence`, `new-value` and `new-template` hold.

    Kept in topic `rule-state` (`records.py`), under keys that begin with the rule's id and `|`: whatever changes is in
    an `Outcome`, at most one record of a rule and group for each input, and `restore` builds the same from the latest
    of each key. `partitions`: how many topic `logs` has, where that is known (`Watermark`).
    """

    def __init__(self, rules: RuleSet, partitions: int | None = None) -> None:
        self._version = rules.version
        self._watermark = Watermark(partitions)
        self._keepers: dict[str, Keeper] = {}
        self._definitions: dict[str, str] = {}
        self._unstarted: set[str] = set()
        self._left: dict[str, _Left] = {}
        for rule in remembering(rules).values():
            self._add(rule)

    def _add(self, rule: RememberingRule) -> None:
        self._keepers[rule.id] = keeper_of(rule)
        self._definitions[rule.id] = definition_of(rule)
        self._unstarted.add(rule.id)

    # ------------------------------------------------------------------------------------------- rules

    def take_rules(self, rules: RuleSet, now_ms: int) -> Outcome:
        """Other rules are in force: what a rule that is gone or has become another held is forgotten, and its
        incidents are over. A rule goes on whose kind, conditions, groups, window and baseline are the same."""
        self._version = rules.version
        new = remembering(rules)
        outcomes = [self._settled(now_ms)]
        for rule_id, keeper in list(self._keepers.items()):
            rule = new.get(rule_id)
            if rule is not None and definition_of(rule) == self._definitions[rule_id]:
                outcomes.append(_changed(keeper, rule, now_ms))
                continue
            outcomes.append(keeper.drop(GONE if rule is None else CHANGED, now_ms))
            outcomes.append(Outcome(kept=(kept(key_of(rule_id, RULE), None),)))
            del self._keepers[rule_id], self._definitions[rule_id]
        for rule_id, rule in new.items():
            if rule_id not in self._keepers:
                self._add(rule)
        return joined_outcomes([*outcomes, self._settled(now_ms)])

    def _settled(self, now_ms: int) -> Outcome:
        """Rules that were not in force before are from now on; what others left is given up."""
        if not self._unstarted and not self._left:
            return NO_OUTCOME
        records = [kept(key, None) for left in self._left.values() for key in left.keys]
        over = [
            Recovery(
                rule_id=rule_id,
                group=group,
                received_ms=now_ms,
                reason=CHANGED if rule_id in self._keepers else GONE,
            )
            for rule_id, left in self._left.items()
            for group in left.groups
        ]
        for rule_id in sorted(self._unstarted):
            records.append(self._start(rule_id, now_ms))
        self._unstarted.clear()
        self._left.clear()
        return Outcome(tuple(over), tuple(records))

    # ----------------------------------------------------------------------------------------- restore

    def restore(self, records: Mapping[bytes, bytes]) -> None:
        """Takes over what was kept; what cannot be read is counted, logged and left. What a rule left that is gone or
        has become another is given up with the next input."""
        progress = readable(
            {key: value for key, value in records.items() if key == PROGRESS_KEY},
            ProgressRecord,
            topics.RULE_STATE,
            "manager",
        )
        for record in progress.values():
            self._watermark.restore(record)
        rules: dict[bytes, bytes] = {}
        others: dict[str, dict[bytes, bytes]] = {}
        for key, value in records.items():
            rule_id, word, _ = split(key)
            if word == RULE:
                rules[key] = value
            elif word:
                others.setdefault(rule_id, {})[key] = value
        self._restore_rules(rules)
        for rule_id, mine in others.items():
            if rule_id in self._keepers and rule_id not in self._unstarted:
                self._restore_groups(self._keepers[rule_id], mine)
            else:
                self._leave(rule_id, mine)

    def _restore_rules(self, records: Mapping[bytes, bytes]) -> None:
        for key, record in readable(records, RuleRecord, topics.RULE_STATE, "manager").items():
            rule_id, _, __ = split(key)
            if self._definitions.get(rule_id) == record.definition:
                self._unstarted.discard(rule_id)
                keeper = self._keepers[rule_id]
                if isinstance(keeper, Values):
                    keeper.started_ms = record.started_ms
            else:
                self._left.setdefault(rule_id, _Left()).keys.append(key)

    def _restore_groups(self, keeper: Keeper, records: Mapping[bytes, bytes]) -> None:
        for key, record in readable(records, keeper.kind, topics.RULE_STATE, "manager").items():
            name = split(key)[2]
            match keeper, record:
                case Windows(), WindowRecord():
                    keeper.restore(name, record, self._watermark.at_ms)
                case Silence(), SilenceRecord():
                    keeper.restore(name, record)
                case Values(), ValueRecord():
                    keeper.restore(name, record)

    def _leave(self, rule_id: str, records: Mapping[bytes, bytes]) -> None:
        left = self._left.setdefault(rule_id, _Left())
        for key, value in records.items():
            left.keys.append(key)
            try:
                group = open_group(split(key)[1], value)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # nothing is lost: it is given up
            if group is not None:
                left.groups.append(group)

    # ----------------------------------------------------------------------------------------- what comes

    def count(self, count: Count, now_ms: int) -> Outcome:
        """A matcher counted something."""
        count = _not_ahead(count, now_ms)
        match keeper := self._keeper_for(count):
            case Windows():
                outcome = keeper.count(count, self._watermark.at_ms)
            case Silence():
                outcome = keeper.count(count, self._watermark.at_ms, now_ms)
            case _:
                outcome = NO_OUTCOME
        return joined_outcomes([self._settled(now_ms), outcome])

    def seen(self, seen: Seen, now_ms: int) -> Outcome:
        """A matcher saw a value that it had not seen lately."""
        settled, keeper = self._settled(now_ms), self._keeper_for(seen)
        if not isinstance(keeper, Values):
            return settled
        seen = msgspec.structs.replace(seen, received_ms=min(seen.received_ms, now_ms))
        return joined_outcomes([settled, keeper.seen(seen)])

    def _keeper_for(self, told: Count | Seen) -> Keeper | None:
        """A matcher goes by another rule set for some seconds after a change: what it found by another definition of
        the rule says nothing about this one."""
        if told.definition and told.definition != self._definitions.get(told.rule_id):
            return None
        return self._keepers.get(told.rule_id)

    def progress(self, progress: Progress, now_ms: int) -> Outcome:
        """A matcher has read on: time, as the logs tell it, has passed."""
        before_ms = self._watermark.at_ms
        self._watermark.take(progress, now_ms)
        record = Outcome(kept=(kept(PROGRESS_KEY, self._watermark.record()),))
        outcomes = [self._settled(now_ms), record]
        watermark_ms = self._watermark.at_ms
        if watermark_ms is not None:
            outcomes += [self._passed(keeper, before_ms, watermark_ms) for keeper in self._keepers.values()]
        return joined_outcomes(outcomes)

    def _passed(self, keeper: Keeper, before_ms: int | None, watermark_ms: int) -> Outcome:
        match keeper:
            case Values():
                return Outcome(kept=keeper.forgotten(watermark_ms))
            case Silence() if keeper.waits and self._watermark.agrees(self._version):
                return joined_outcomes([keeper.expect(watermark_ms), keeper.progress(watermark_ms)])
            case Silence() if _is_due(keeper.due_ms, watermark_ms):
                return keeper.progress(watermark_ms)
            case Windows() if _is_due(keeper.due_ms, watermark_ms):
                return keeper.progress(before_ms, watermark_ms)
        return NO_OUTCOME

    def clock_was_set(self, by_ms: int) -> Outcome:
        """The clock was set by so much. Windows stay where they are: they lie in the time of the logs."""
        self._watermark.clock_was_set(by_ms)
        outcomes = [Outcome(kept=(kept(PROGRESS_KEY, self._watermark.record()),))]
        for rule_id, keeper in self._keepers.items():
            match keeper:
                case Windows():
                    keeper.clock_was_set(self._watermark.at_ms)
                case Silence():
                    outcomes.append(keeper.clock_was_set(by_ms))
                case Values() if rule_id not in self._unstarted:
                    outcomes.append(Outcome(kept=(self._start(rule_id, keeper.started_ms + by_ms),)))
        return joined_outcomes(outcomes)

    def _start(self, rule_id: str, at_ms: int) -> Kept:
        """A rule has been in force since then."""
        keeper = self._keepers[rule_id]
        if isinstance(keeper, Values):
            keeper.started_ms = at_ms
        return kept(key_of(rule_id, RULE), RuleRecord(self._definitions[rule_id], at_ms))


def _changed(keeper: Keeper, rule: RememberingRule, now_ms: int) -> Outcome:
    """The same definition; the kind is part of it."""
    match keeper, rule:
        case Windows(), ThresholdRule() | SpikeRule() | ErrorRatioRule():
            keeper.take_rule(rule)
        case Silence(), AbsenceRule():
            return keeper.take_rule(rule, now_ms)
        case Values(), NewValueRule() | NewTemplateRule():
            keeper.rule = rule
    return NO_OUTCOME


def _is_due(due_ms: int | None, watermark_ms: int) -> bool:
    return due_ms is not None and due_ms <= watermark_ms


def _not_ahead(count: Count, now_ms: int) -> Count:
    """With times of this machine's clock at most."""
    most_ms = now_ms + AHEAD_MS
    if count.received_ms <= now_ms and all(start_ms <= most_ms for start_ms, _, __ in count.buckets):
        return count
    buckets = [(min(start_ms, most_ms), matching, all_) for start_ms, matching, all_ in count.buckets]
    return msgspec.structs.replace(count, buckets=buckets, received_ms=min(count.received_ms, now_ms))
