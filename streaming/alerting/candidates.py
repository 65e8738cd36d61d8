"""How a match, a silent node or a broken rule file becomes a candidate."""

from __future__ import annotations

from streaming.alerting.fields import as_tree, group_of, plant
from streaming.alerting.messages import Candidate, Sample, Severity, incident_key
from streaming.alerting.rules.base import render_title
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.node_health import NODE_FIELD, SERVICE_FIELD, NodeHealthRule
from streaming.alerting.text import cut
from streaming.errors import ConfigError
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeStatus

SAMPLE_TEXT_LIMIT = 2000
"""Characters of a sample's message: what a person reads in a chat message."""

SAMPLE_WORD_LIMIT = 256
"""Characters of its short fields (names, ids, codes), which come from logs and may be of any length."""

RULES_RULE = "vigil-rules"
"""Rule id of the incident that a broken rule file raises."""

RULES_KEY = incident_key(RULES_RULE, {})


def from_log(rule: MatchRule, event: LogEvent, *, source: str, received_ms: int) -> Candidate:
    """The candidate of one log. Its times are the log's own; `received_ms` is when it was received."""
    at_ms = event.timestamp_ns // 1_000_000
    return Candidate(
        rule_id=rule.id,
        group=group_of(event, rule.group_by),
        severity=rule.severity,
        title=render_title(rule.title, as_tree(event)),
        count=1,
        first_ms=at_ms,
        last_ms=at_ms,
        received_ms=received_ms,
        sample=_sample(event, at_ms, source, received_ms),
        resolve_after_s=rule.resolve_after,
        route=rule.route,
        runbook=rule.runbook,
        labels=rule.labels,
    )


def from_node(rule: NodeHealthRule, status: NodeStatus) -> Candidate:
    """The candidate of a node that is DOWN."""
    tree: dict[str, object] = {"message": status.reason}
    plant(tree, NODE_FIELD, status.node_id)
    plant(tree, SERVICE_FIELD, status.service)
    return Candidate(
        rule_id=rule.id,
        group=rule.group(status.node_id),
        severity=rule.severity,
        title=render_title(rule.title, tree),
        count=1,
        first_ms=status.at_ms,
        last_ms=status.at_ms,
        received_ms=status.at_ms,
        sample=Sample(
            timestamp_ms=status.at_ms,
            level=Level.ERROR,
            message=cut(status.reason, SAMPLE_TEXT_LIMIT),
            service=cut(status.service, SAMPLE_WORD_LIMIT),
            node_id=cut(status.node_id, SAMPLE_WORD_LIMIT),
            received_ms=status.at_ms,
        ),
        resolve_after_s=rule.resolve_after,
        route=rule.route,
        runbook=rule.runbook,
        labels=rule.labels,
    )


def from_broken_rules(error: ConfigError, *, kept_version: str, now_ms: int) -> Candidate:
    """The candidate that says a rule file is broken and which set keeps working."""
    message = f"{error}. The last good rule set {kept_version} stays in force."
    return Candidate(
        rule_id=RULES_RULE,
        group={},
        severity=Severity.ERROR,
        title=cut(f"Alert rules are broken: {error}", 150),
        count=1,
        first_ms=now_ms,
        last_ms=now_ms,
        received_ms=now_ms,
        sample=Sample(
            timestamp_ms=now_ms,
            level=Level.ERROR,
            message=cut(message, SAMPLE_TEXT_LIMIT),
            service="vigil-matcher",
            node_id="",
            received_ms=now_ms,
        ),
    )


def _sample(event: LogEvent, at_ms: int, source: str, received_ms: int) -> Sample:
    def word(value: str | None) -> str | None:
        return None if value is None else cut(value, SAMPLE_WORD_LIMIT)

    return Sample(
        timestamp_ms=at_ms,
        level=event.level,
        message=cut(event.message, SAMPLE_TEXT_LIMIT),
        service=cut(event.service, SAMPLE_WORD_LIMIT),
        node_id=cut(event.node_id, SAMPLE_WORD_LIMIT),
        log_id=word(event.log_id),
        trace_id=word(event.trace_id),
        error_code=word(event.error_code),
        error_message=None if event.error_message is None else cut(event.error_message, SAMPLE_TEXT_LIMIT),
        source=source,
        received_ms=received_ms,
    )
