"""Rules of kind `composite`: incidents of other rules that stand together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from streaming.alerting.candidates import terms_of
from streaming.alerting.incidents.decision import NO_OUTCOME, Outcome
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Candidate, Incident, Recovery
from streaming.alerting.relations.standing import GONE, is_standing, template_fields
from streaming.alerting.rules.base import TEXT_LIMIT, render_text, render_title
from streaming.alerting.rules.composite import CompositeRule
from streaming.alerting.rules.incident_conditions import attribute
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.weekly import is_within
from streaming.alerting.text import cut

Values = tuple[str, ...]
"""What incidents agree in: the values of the fields of `same`, in its order; empty where one has none."""

MINUTE_MS = 60_000
"""Times of a week begin and end at full minutes."""

KIND = "composite"

OVER = "no longer holds: "
"""How the reasons of all recoveries begin."""

OTHERWISE = "its rule groups otherwise now"

Finding = Candidate | Recovery


class Composites:
    """The composite rules that are enabled. `incidents` is the book's, by key; it is only read.

    An incident is looked at when it begins or ceases to stand, once for each composite that names its rule, whatever
    the number of the others. Memory: an entry for each standing incident and composite that names its rule.
    """

    def __init__(self, rules: RuleSet, incidents: Mapping[str, Incident]) -> None:
        self._incidents = incidents
        self._restored = False
        self._over: list[Finding] = []
        """What `restore` found to be over."""
        self._minute: int | None = None
        """That of the last `tick`."""
        self._build(rules)

    def _build(self, rules: RuleSet) -> None:
        self._composites = {
            rule.id: _Composite(rule) for rule in rules.rules if rule.enabled and isinstance(rule, CompositeRule)
        }
        self._made_of: defaultdict[str, list[_Composite]] = defaultdict(list)
        for composite in self._composites.values():
            for part in dict.fromkeys(composite.rule.parts):
                self._made_of[part].append(composite)
        self._has_times = any(composite.rule.active for composite in self._composites.values())
        self._enter_all()

    def _enter_all(self) -> None:
        for key, incident in self._incidents.items():
            if is_standing(incident):
                for composite in self._made_of.get(incident.rule_id, ()):
                    composite.enter(key, incident)

    def restore(self) -> None:
        """Takes over the incidents that there are. What rules that changed meanwhile lead to follows in `tick`.

        Of a composite that holds and has no incident it is not known that anybody was told of it, so it fires. One
        whose incident is resolved was resolved by hand or for quiet, unless its reason is one of ours.
        """
        self._enter_all()
        for incident in self._incidents.values():
            composite = self._composites.get(incident.rule_id)
            values = composite.values_of_own(incident) if composite else ()
            if composite is None or composite.group(values) != incident.group:
                if incident.rule_kind == KIND and is_open(incident):
                    reason = OTHERWISE if composite else GONE
                    self._over.append(_recovery(incident.rule_id, incident.group, incident.updated_ms, reason))
            elif is_open(incident) or (composite.holds(values) and not incident.reason.startswith(OVER)):
                composite.held.add(values)
        self._restored = True

    def take_rules(self, rules: RuleSet, now_ms: int) -> Outcome:
        """Other rules are in force: all are concluded anew; what one that is gone held is over."""
        before = self._composites
        self._build(rules)
        findings: list[Finding] = []
        for rule_id, old in before.items():
            new = self._composites.get(rule_id)
            if new is not None and new.rule.same == old.rule.same:
                new.held |= old.held
                continue
            reason = OTHERWISE if new else GONE
            findings += [_recovery(rule_id, old.group(values), now_ms, reason) for values in sorted(old.held)]
        for composite in self._composites.values():
            findings += composite.all_concluded(now_ms, self._incidents)
        return Outcome(tuple(findings)) if findings else NO_OUTCOME

    def changed(self, before: Incident | None, after: Incident | None, now_ms: int) -> Outcome:
        """An incident changed; None: there was or is none."""
        stands = is_standing(after)
        incident = after or before
        if incident is None or is_standing(before) is stands:
            return NO_OUTCOME
        findings: list[Finding] = []
        for composite in self._made_of.get(incident.rule_id, ()):
            key = incident.incident_key
            values = composite.enter(key, incident) if stands else composite.leave(key)
            found = None if values is None else composite.concluded(values, now_ms, self._incidents)
            if found is not None:
                findings.append(found)
        return Outcome(tuple(findings)) if findings else NO_OUTCOME

    def tick(self, now_ms: int) -> Outcome:
        """Time has passed: rules come into force at their times."""
        minute_before, self._minute = self._minute, now_ms // MINUTE_MS
        findings, self._over = self._over, []
        restored, self._restored = self._restored, False
        if restored or (self._has_times and minute_before != self._minute):
            for composite in self._composites.values():
                if restored or composite.rule.active:
                    findings += composite.all_concluded(now_ms, self._incidents)
        return Outcome(tuple(findings)) if findings else NO_OUTCOME

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        if self._restored or (self._has_times and self._minute is None):
            return 0
        return (self._minute + 1) * MINUTE_MS if self._has_times and self._minute is not None else None


class _Composite:
    """One rule, the standing incidents that it looks at by what they agree in, and for which values it holds."""

    def __init__(self, rule: CompositeRule) -> None:
        self.rule = rule
        self.held: set[Values] = set()
        """For which it was told that it holds."""
        self._standing: dict[Values, dict[str, dict[str, None]]] = {}
        """By values and rule: the keys of incidents, in the order in which they began to stand."""
        self._values: dict[str, Values] = {}
        """By key: the values that the incident entered with. Those that are its sample's may change while it stands."""

    def group(self, values: Values) -> dict[str, str]:
        return {name: value for name, value in zip(self.rule.same, values, strict=True) if value}

    def values_of_own(self, incident: Incident) -> Values:
        """Of an incident of this rule."""
        return tuple(incident.group.get(name, "") for name in self.rule.same)

    def enter(self, key: str, incident: Incident) -> Values:
        """An incident stands from now on; again changes nothing."""
        values = self._values.get(key)
        if values is None:
            values = self._values[key] = tuple(attribute(incident, name) for name in self.rule.same)
            self._standing.setdefault(values, {}).setdefault(incident.rule_id, {})[key] = None
        return values

    def leave(self, key: str) -> Values | None:
        """It no longer does; None: it did not."""
        values = self._values.pop(key, None)
        if values is None:
            return None
        by_rule = self._standing[values]
        for rule_id, keys in by_rule.items():
            if key in keys:
                del keys[key]
                if not keys:
                    del by_rule[rule_id]
                break
        if not by_rule:
            del self._standing[values]
        return values

    def holds(self, values: Values) -> bool:
        by_rule = self._standing.get(values, {})
        rule = self.rule
        return (
            all(part in by_rule for part in rule.all_of)
            and (not rule.any_of or any(part in by_rule for part in rule.any_of))
            and not any(part in by_rule for part in rule.none_of)
        )

    def concluded(self, values: Values, now_ms: int, incidents: Mapping[str, Incident]) -> Finding | None:
        """What follows where it begins or ceases to hold. It begins only at the times at which its rule is in force."""
        holds, held = self.holds(values), values in self.held
        if holds and not held and is_within(self.rule.active, now_ms):
            # What the book has forgotten already leaves with a move that is still to come.
            latest = self._latest_of_each(values, incidents)
            if not latest:
                return None
            self.held.add(values)
            return self._candidate(values, latest, now_ms)
        if held and not holds:
            self.held.discard(values)
            return _recovery(self.rule.id, self.group(values), now_ms, self._why_over(values))
        return None

    def all_concluded(self, now_ms: int, incidents: Mapping[str, Incident]) -> Iterator[Finding]:
        for values in sorted(self.held | self._standing.keys()):
            if (found := self.concluded(values, now_ms, incidents)) is not None:
                yield found

    def _candidate(self, values: Values, latest: Sequence[Incident], now_ms: int) -> Candidate:
        """Its sample is that of the latest of its incidents; where the rule has no text, it lists them."""
        chosen = max(latest, key=lambda incident: (incident.last_received_ms, incident.rule_id))
        listed = [f"{incident.rule_id}: {incident.title}" for incident in latest]
        fields = template_fields(chosen, self.group(values)) | {"message": "; ".join(listed)}
        return Candidate(
            rule_id=self.rule.id,
            group=self.group(values),
            severity=self.rule.severity,
            title=render_title(self.rule.title, fields),
            count=1,
            first_ms=now_ms,
            last_ms=now_ms,
            received_ms=now_ms,
            sample=chosen.sample,
            text=render_text(self.rule.text, fields) or cut("\n".join(listed), TEXT_LIMIT),
            resolve_after_s=self.rule.resolve_after,
            **terms_of(self.rule),
        )

    def _latest_of_each(self, values: Values, incidents: Mapping[str, Incident]) -> list[Incident]:
        """Of each rule that makes it hold, the incident that stands for the shortest time."""
        by_rule = self._standing[values]
        wanted = dict.fromkeys((*self.rule.all_of, *self.rule.any_of))
        keys = [next(reversed(by_rule[rule_id])) for rule_id in wanted if rule_id in by_rule]
        return [incidents[key] for key in keys if key in incidents]

    def _why_over(self, values: Values) -> str:
        by_rule = self._standing.get(values, {})
        for part in self.rule.none_of:
            if part in by_rule:
                return f"an incident of {part} is open"
        for part in self.rule.all_of:
            if part not in by_rule:
                return f"no incident of {part} is open any more"
        return f"no incident of {' or '.join(self.rule.any_of)} is open any more"


def _recovery(rule_id: str, group: dict[str, str], now_ms: int, reason: str) -> Recovery:
    return Recovery(rule_id=rule_id, group=group, received_ms=now_ms, reason=OVER + reason)
