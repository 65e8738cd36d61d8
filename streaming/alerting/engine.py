"""Rules compiled for speed: a log that fires nothing costs two dictionary look-ups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streaming.alerting.rules.match import MatchRule, predicate
from streaming.alerting.rules.node_health import NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeStatus

SERVICE = "service.name"

Compiled = tuple[MatchRule, Callable[[LogEvent], bool]]


class Engine:
    """Pure: which rules of a set an event fires. It keeps nothing from one event to the next.

    Match rules are indexed by level, then by service name where a rule names its services, so that most logs
    of most installations meet no condition at all.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        enabled = [rule for rule in rules.rules if rule.enabled]
        self._node_rules = tuple(rule for rule in enabled if isinstance(rule, NodeHealthRule))
        self._named: dict[Level, dict[str, list[Compiled]]] = {level: {} for level in Level}
        self._rest: dict[Level, list[Compiled]] = {level: [] for level in Level}
        for rule in enabled:
            if isinstance(rule, MatchRule):
                self._index(rule)

    def _index(self, rule: MatchRule) -> None:
        condition = rule.where.fields.get(SERVICE)
        services = condition.equals if condition else ()
        # Only `equals` is answered by the index; a condition that asks more of the service is asked whole.
        only_equals = condition is not None and condition.model_fields_set == {"equals"}
        compiled = (rule, predicate(rule.where, skip=SERVICE if only_equals else None))
        for level in rule.where.levels or tuple(Level):
            if services:
                for service in services:
                    self._named[level].setdefault(service, []).append(compiled)
            else:
                self._rest[level].append(compiled)

    def match(self, event: LogEvent) -> Sequence[MatchRule]:
        """The match rules that this log fires, in no promised order."""
        rest, named = self._rest[event.level], self._named[event.level].get(event.service)
        if not rest and not named:
            return ()
        return [rule for rule, fits in (*(named or ()), *rest) if fits(event)]

    @property
    def all_node_rules(self) -> Sequence[NodeHealthRule]:
        """Every node-health rule that is enabled."""
        return self._node_rules

    def node_rules(self, status: NodeStatus) -> Sequence[NodeHealthRule]:
        """The node-health rules that watch this node."""
        return [rule for rule in self._node_rules if rule.where.fits(status)]
