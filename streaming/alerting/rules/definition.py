"""What of a rule decides which logs it counts: that by which counts of one matcher are another's."""

from __future__ import annotations

import hashlib
import json

from streaming.alerting.rules.base import RuleBase

_DEFINES = {"kind", "where", "errors", "group_by", "window", "baseline", "field"}
"""What decides which logs were counted, by what, and into which buckets. A threshold or a title may change and what
was counted is still true."""


def definition_of(rule: RuleBase) -> str:
    """Equal for rules that can go on with what the other one counted; 12 characters."""
    content = rule.model_dump(mode="json", include=_DEFINES)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
