"""How rules that count or remember tell what they found: candidates, and what their templates can say."""

from __future__ import annotations

import msgspec

from streaming.alerting.candidates import terms_of
from streaming.alerting.fields import LABELS, plant
from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.messages import Candidate, Sample
from streaming.alerting.rules.base import TITLE_LIMIT, render_text, render_title
from streaming.alerting.rules.log_rule import LogRule
from streaming.alerting.text import cut

SHORT_TEXT = 200
"""Characters of the texts of a sample that is kept in case that something fires without another log."""


def shortened(sample: Sample) -> Sample:
    """A sample as it is kept."""
    error = sample.error_message
    return msgspec.structs.replace(
        sample,
        message=cut(sample.message, SHORT_TEXT),
        error_message=None if error is None else cut(error, SHORT_TEXT),
    )


def candidate(
    rule: LogRule,
    group: dict[str, str],
    sample: Sample,
    facts: dict[str, object],
    *,
    count: int,
    first_ms: int,
    last_ms: int,
    received_ms: int,
    late: bool = False,
    resolve_after_s: float | None = None,
    max_groups: int | None = None,
) -> Candidate:
    """What a rule tells of a group. Rules that count resolve by a `Recovery` alone, and their incidents are not capped:
    the rule's memory holds no more groups than it may.

    Templates see the group's fields, the sample's where the group has none, and `facts`.
    """
    tree = _tree(group, sample) | facts
    title = render_title(rule.title, tree)
    if group == OTHER_GROUPS:
        title = cut(f"More than {rule.max_groups} groups; the others: {title}", TITLE_LIMIT)
    return Candidate(
        rule_id=rule.id,
        group=group,
        severity=rule.severity,
        title=title,
        text=render_text(rule.text, tree),
        count=count,
        first_ms=first_ms,
        last_ms=last_ms,
        received_ms=received_ms,
        sample=sample,
        late=late,
        resolve_after_s=resolve_after_s,
        max_groups=max_groups,
        **terms_of(rule),
    )


def _tree(group: dict[str, str], sample: Sample) -> dict[str, object]:
    labels = {name.removeprefix(LABELS): value for name, value in group.items() if name.startswith(LABELS)}
    tree: dict[str, object] = {"labels": labels}
    fields = {
        "service.name": sample.service,
        "service.node.name": sample.node_id,
        "message": sample.message,
        "log.level": sample.level.value,
        "error.code": sample.error_code or "",
        "error.message": sample.error_message or "",
        "event.id": sample.log_id or "",
        "trace.id": sample.trace_id or "",
    }
    for name, value in (fields | group).items():
        if not name.startswith(LABELS) and name != "other":
            plant(tree, name, value)
    return tree
