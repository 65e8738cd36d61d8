"""How a match, a silent node or a broken rule file becomes a candidate."""

from __future__ import annotations

from typing import TypedDict

from streaming.alerting.fields import as_tree, group_of, plant
from streaming.alerting.messages import Candidate, Recovery, Sample, Severity
from streaming.alerting.rules.base import TITLE_LIMIT, RuleBase, render_text, render_title
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


class Terms(TypedDict):
    """What a rule says of its incidents, whatever its kind."""

    for_s: float
    repeat_every_s: float | None
    route: str
    owner: str
    runbook: str | None
    labels: dict[str, str]


def terms_of(rule: RuleBase) -> Terms:
    """The same of one rule, as a candidate carries it."""
    return Terms(
        for_s=rule.hold_for or 0.0,
        repeat_every_s=rule.repeat_every,
        route=rule.route,
        owner=rule.owner,
        runbook=rule.runbook,
        labels=rule.labels,
    )


def from_log(rule: MatchRule, event: LogEvent, *, source: str, received_ms: int) -> Candidate:
    """The candidate of one log. Its times are the log's own; `received_ms` is when it was received."""
    at_ms, tree = event.timestamp_ns // 1_000_000, as_tree(event)
    return Candidate(
        rule_id=rule.id,
        group=group_of(event, rule.group_by),
        severity=rule.severity,
        title=render_title(rule.title, tree),
        count=1,
        first_ms=at_ms,
        last_ms=at_ms,
        received_ms=received_ms,
        sample=sample_of(event, source=source, received_ms=received_ms),
        text=render_text(rule.text, tree),
        resolve_after_s=rule.resolve_after,
        max_groups=rule.max_groups,
        **terms_of(rule),
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
        sample=said(status.reason, status.at_ms, status.service, status.node_id),
        text=render_text(rule.text, tree),
        resolve_after_s=rule.resolve_after,
        **terms_of(rule),
    )


def from_good_rules(version: str, now_ms: int) -> Recovery:
    """What ends the incident of a broken file."""
    reason = f"the rule files are good; rule set {version} is in force"
    return Recovery(rule_id=RULES_RULE, group={}, received_ms=now_ms, reason=reason)


def from_broken_rules(error: ConfigError, *, kept_version: str, now_ms: int) -> Candidate:
    """The candidate that says a rule file is broken and which set keeps working."""
    message = f"{error}. The last good rule set {kept_version} stays in force."
    return Candidate(
        rule_id=RULES_RULE,
        group={},
        severity=Severity.ERROR,
        title=cut(f"Alert rules are broken: {error}", TITLE_LIMIT),
        count=1,
        first_ms=now_ms,
        last_ms=now_ms,
        received_ms=now_ms,
        route="",
        sample=said(message, now_ms, "vigil-matcher"),
    )


def said(message: str, at_ms: int, service: str, node_id: str = "") -> Sample:
    """What stands for a log where there is none: what Vigil itself says of a service or node."""
    return Sample(
        timestamp_ms=at_ms,
        level=Level.ERROR,
        message=cut(message, SAMPLE_TEXT_LIMIT),
        service=cut(service, SAMPLE_WORD_LIMIT),
        node_id=cut(node_id, SAMPLE_WORD_LIMIT),
        received_ms=at_ms,
    )


def sample_of(event: LogEvent, *, source: str, received_ms: int) -> Sample:
    """As much of a log as a message to a person needs."""

    def word(value: str | None) -> str | None:
        return None if value is None else cut(value, SAMPLE_WORD_LIMIT)

    return Sample(
        timestamp_ms=event.timestamp_ns // 1_000_000,
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
