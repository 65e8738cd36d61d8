"""What becomes of a change of a node: a candidate, or the end of what its incident is about."""

from __future__ import annotations

from streaming.alerting.candidates import from_node
from streaming.alerting.incidents.decision import NO_OUTCOME, Outcome
from streaming.alerting.messages import Candidate, Recovery
from streaming.alerting.rules.node_health import NodeCondition, NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State


class NodeRules:
    """The rules of kind `node-health` that are enabled."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = tuple(rule for rule in rules.rules if rule.enabled and isinstance(rule, NodeHealthRule))

    def status(self, status: NodeStatus) -> Outcome:
        """A change for the worse fires each rule that watches the node and asks for it; one that ends a rule's
        condition is a recovery.

        The latter is told of every such rule, also of one whose `where` the node no longer fits: it may have come
        back as another service.
        """
        found = tuple(finding for rule in self._rules if (finding := _finding(rule, status)) is not None)
        return Outcome(found) if found else NO_OUTCOME


def _finding(rule: NodeHealthRule, status: NodeStatus) -> Candidate | Recovery | None:
    holds = rule.holds(status)
    if holds is None:
        return None
    if holds:
        return from_node(rule, status) if rule.where.fits(status) else None
    return Recovery(
        rule_id=rule.id, group=rule.group(status.node_id), received_ms=status.at_ms, reason=_why_over(rule, status)
    )


def _why_over(rule: NodeHealthRule, status: NodeStatus) -> str:
    node = status.node_id
    if status.state in (State.MAINTENANCE, State.RETIRED):
        return f"{node} is {'retired' if status.state == State.RETIRED else 'in maintenance'}"
    match rule.condition:
        case NodeCondition.DUPLICATE:
            return f"one process beats as {node} again"
        case NodeCondition.SKEWED:
            return f"the clock of {node} is off by {(status.skew_ms or 0) / 1000:+.1f} s"
        case NodeCondition.NEVER_SEEN:
            return status.reason if status.last_beat_ms is None else f"{node} has come"
    if status.clean_shutdown:
        return f"{node} has stopped on purpose"
    return f"{node} is {status.state.value}" + (" again" if status.state == State.UP else "")
