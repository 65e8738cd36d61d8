"""Rules of kind `flapping`: incidents that come and go."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from streaming import decoding
from streaming.alerting.candidates import terms_of
from streaming.alerting.incidents.decision import NO_OUTCOME, Kept, Outcome, joined_outcomes
from streaming.alerting.messages import Candidate, Incident, Recovery
from streaming.alerting.relations.standing import GONE, is_standing, template_fields
from streaming.alerting.rules.base import render_text, render_title
from streaming.alerting.rules.flapping import KEY_LABEL, RULE_FIELD, FlappingRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.weekly import is_within
from streaming.kafka import topics

MOST_FOLLOWED = 100_000
"""Incidents that one rule follows at a time; beyond, the one that opened longest ago is given up. An entry takes
some 600 bytes, so 60 MB at the most."""

AT_A_TIME = 1_000
"""Entries that one `tick` looks at: each may be a record of the manager's transaction."""


class Changes(msgspec.Struct, kw_only=True, frozen=True, tag="flapping", tag_field="kind"):
    """When one incident opened or reopened lately (topic `rule-state`, key `<id of the flapping rule>|<incident_key>`).

    `times_ms` are by the manager's clock, rising, the last `changes` of the rule at most.
    """

    rule_id: str
    group: dict[str, str]
    times_ms: tuple[int, ...]
    flaps: bool = False


class Flapping:
    """The flapping rules that are enabled, and what they counted.

    `MOST_FOLLOWED` bounds the memory of each rule, and a window that has passed empties it.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._build(rules)
        self._followed: dict[str, OrderedDict[str, Changes]] = {}
        """By rule, then by key of the watched incident; the one that opened last is the last."""
        self._due: list[tuple[int, str, str]] = []
        self._scheduled: dict[tuple[str, str], int] = {}
        """The one entry of `_due` of each rule and key that counts: too early at worst, never too late."""
        self._given_up: list[Outcome] = []

    def _build(self, rules: RuleSet) -> None:
        of_kind = [rule for rule in rules.rules if isinstance(rule, FlappingRule)]
        self._unwatched = {rule.id for rule in of_kind}
        self._rules = {rule.id: rule for rule in of_kind if rule.enabled}
        self._ids = {rule.id for rule in rules.rules}

    def _watches(self, rule: FlappingRule, rule_id: str) -> bool:
        return rule_id not in self._unwatched and rule.watches(rule_id)

    def restore(self, records: Mapping[bytes, bytes]) -> None:
        """Takes over what was counted. What a rule that is gone counted is given up by the next `tick`."""
        found: list[tuple[str, str, Changes]] = []
        for key, value in records.items():
            rule_id, _, watched = key.decode("utf-8", "replace").partition("|")
            if rule_id not in self._rules and rule_id in self._ids - self._unwatched:
                continue  # a rule of another kind remembers this
            try:
                found.append((rule_id, watched, decoding.decode(value, Changes)))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        for rule_id, watched, changes in sorted(found, key=lambda one: one[2].times_ms[-1:]):
            if rule_id in self._rules:
                self._keep(rule_id, watched, changes)
            else:
                self._given_up.append(_given_up(rule_id, watched, changes, max(changes.times_ms, default=0), GONE))

    def take_rules(self, rules: RuleSet, now_ms: int) -> Outcome:
        """Other rules are in force: what one that is gone counted is given up, and so is what none watches any more."""
        self._build(rules)
        before, self._followed = self._followed, {}
        self._due, self._scheduled = [], {}
        given_up = []
        for rule_id, followed in before.items():
            rule = self._rules.get(rule_id)
            for watched, changes in followed.items():
                if rule is not None and self._watches(rule, changes.rule_id):
                    self._keep(rule_id, watched, changes)
                else:
                    given_up.append(_given_up(rule_id, watched, changes, now_ms, "its rule no longer watches this"))
        return _joined(given_up)

    def changed(self, before: Incident | None, after: Incident | None, now_ms: int) -> Outcome:
        """An incident changed: counts those that open or reopen."""
        if after is None or is_standing(before) or not is_standing(after):
            return NO_OUTCOME
        return _joined(
            [self._opened(rule, after, now_ms) for rule in self._rules.values() if self._watches(rule, after.rule_id)]
        )

    def tick(self, now_ms: int) -> Outcome:
        """Time has passed: what flapped may have calmed down, and what is long past is forgotten."""
        outcomes, self._given_up = self._given_up, []
        looked = 0
        while self._due and self._due[0][0] <= now_ms and looked < AT_A_TIME:
            at, rule_id, watched = heapq.heappop(self._due)
            if self._scheduled.get((rule_id, watched)) != at:
                continue
            looked += 1
            del self._scheduled[rule_id, watched]
            outcomes.append(self._settled(self._rules[rule_id], watched, now_ms))
        return _joined(outcomes)

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        if self._given_up:
            return 0
        return self._due[0][0] if self._due else None

    def clock_was_set(self, by_ms: int) -> Outcome:
        """The clock was set by so much: what was counted lies as far back as before."""
        kept = []
        self._due, self._scheduled = [], {}
        for rule_id, followed in self._followed.items():
            for watched, changes in list(followed.items()):
                moved = msgspec.structs.replace(changes, times_ms=tuple(at + by_ms for at in changes.times_ms))
                self._keep(rule_id, watched, moved)
                kept.append(_kept(rule_id, watched, moved))
        return Outcome(kept=tuple(kept)) if kept else NO_OUTCOME

    # ------------------------------------------------------------------------------------------- within

    def _opened(self, rule: FlappingRule, incident: Incident, now_ms: int) -> Outcome:
        watched, followed = incident.incident_key, self._followed.setdefault(rule.id, OrderedDict())
        old = followed.get(watched)
        times = (*_within(rule, old.times_ms if old else (), now_ms), now_ms)[-rule.changes :]
        flapped = old is not None and old.flaps
        # One that cannot be told now, outside the rule's times, is told when it opens once more.
        flaps = flapped or (len(times) >= rule.changes and is_within(rule.active, now_ms))
        new = Changes(rule_id=incident.rule_id, group=incident.group, times_ms=times, flaps=flaps)
        self._keep(rule.id, watched, new)
        kept = [_kept(rule.id, watched, new)]
        findings: list[Candidate | Recovery] = []
        if flaps:
            findings.append(_candidate(rule, incident, times, 1 if flapped else len(times), now_ms))
        if len(followed) > MOST_FOLLOWED:
            oldest, changes = next(iter(followed.items()))
            del followed[oldest]
            self._scheduled.pop((rule.id, oldest), None)
            out = _given_up(rule.id, oldest, changes, now_ms, "too many incidents to follow")
            findings += out.findings
            kept += out.kept
        return Outcome(tuple(findings), tuple(kept))

    def _settled(self, rule: FlappingRule, watched: str, now_ms: int) -> Outcome:
        """What has become of one whose time may have come."""
        followed = self._followed[rule.id]
        old = followed[watched]
        times = _within(rule, old.times_ms, now_ms)
        calm = old.flaps and len(times) <= _most_when_calm(rule)
        findings = (_recovery(rule.id, old, now_ms, _calm_reason(rule, times)),) if calm else ()
        if not times:
            del followed[watched]
            return Outcome(findings, (_kept(rule.id, watched, None),))
        new = msgspec.structs.replace(old, times_ms=times, flaps=old.flaps and not calm) if calm else old
        followed[watched] = new
        self._schedule(rule, watched, new)
        return Outcome(findings, (_kept(rule.id, watched, new),)) if calm else NO_OUTCOME

    def _keep(self, rule_id: str, watched: str, changes: Changes) -> None:
        followed = self._followed.setdefault(rule_id, OrderedDict())
        followed[watched] = changes
        followed.move_to_end(watched)
        self._schedule(self._rules[rule_id], watched, changes)

    def _schedule(self, rule: FlappingRule, watched: str, changes: Changes) -> None:
        at = _due_ms(rule, changes)
        if at < self._scheduled.get((rule.id, watched), at + 1):
            self._scheduled[rule.id, watched] = at
            heapq.heappush(self._due, (at, rule.id, watched))


def _within(rule: FlappingRule, times_ms: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
    """Those that lie in the window that ends now."""
    begins = now_ms - round(rule.window * 1000)
    return tuple(at for at in times_ms if at > begins)


def _most_when_calm(rule: FlappingRule) -> int:
    """How many may be left in the window of one that no longer flaps: fewer than half of what made it flap, so that
    one which keeps opening at the limit does not make its flapping flap."""
    return (rule.changes - 1) // 2


def _due_ms(rule: FlappingRule, changes: Changes) -> int:
    """When so many have left the window that it is calm, or else all."""
    times = changes.times_ms
    left = _most_when_calm(rule) if changes.flaps else 0
    return times[max(0, len(times) - left - 1)] + round(rule.window * 1000) if times else 0


def _calm_reason(rule: FlappingRule, times: tuple[int, ...]) -> str:
    openings = "1 opening" if len(times) == 1 else f"{len(times)} openings"
    return f"{openings} in the last {rule.window:g} s, fewer than half of {rule.changes}"


def _candidate(rule: FlappingRule, incident: Incident, times: tuple[int, ...], count: int, now_ms: int) -> Candidate:
    fields = template_fields(incident, incident.group) | {RULE_FIELD: incident.rule_id, "changes": len(times)}
    terms = terms_of(rule)
    terms["labels"] = terms["labels"] | {KEY_LABEL: incident.incident_key}
    return Candidate(
        rule_id=rule.id,
        group=rule.group(incident.rule_id, incident.group),
        severity=rule.severity,
        title=render_title(rule.title, fields),
        count=count,
        first_ms=times[0],
        last_ms=now_ms,
        received_ms=now_ms,
        sample=incident.sample,
        text=render_text(rule.text, fields),
        resolve_after_s=rule.resolve_after,
        **terms,
    )


def _recovery(rule_id: str, changes: Changes, now_ms: int, reason: str) -> Recovery:
    group = {RULE_FIELD: changes.rule_id} | changes.group
    return Recovery(rule_id=rule_id, group=group, received_ms=now_ms, reason=reason)


def _given_up(rule_id: str, watched: str, changes: Changes, now_ms: int, reason: str) -> Outcome:
    findings = (_recovery(rule_id, changes, now_ms, reason),) if changes.flaps else ()
    return Outcome(findings, (_kept(rule_id, watched, None),))


def _kept(rule_id: str, watched: str, changes: Changes | None) -> Kept:
    return Kept(topics.RULE_STATE, f"{rule_id}|{watched}".encode("utf-8", "surrogatepass"), changes)


def _joined(outcomes: list[Outcome]) -> Outcome:
    outcomes = [outcome for outcome in outcomes if outcome is not NO_OUTCOME]
    return joined_outcomes(outcomes) if outcomes else NO_OUTCOME
