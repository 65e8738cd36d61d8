"""Rules of kind `flapping`: incidents that come and go.

How a flapping incident tells which incident flaps, for whoever mutes that one: its group is `{RULE_FIELD: id of that
one's rule}` with that one's own group, and its label `KEY_LABEL` is that one's `incident_key`. So while an incident
`f` of a flapping rule is open, the incident under the key `f.labels[KEY_LABEL]` is muted; one of another flapping
rule never is, since flapping rules watch none of their own kind.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streaming.alerting.rules.base import Duration, Name, RuleBase

RULE_FIELD = "rule"
"""Field of a flapping incident's group that holds the id of the rule whose incident flaps."""

KEY_LABEL = "flapping"
"""Label of a flapping incident that holds the `incident_key` of the incident that flaps."""


class FlappingRule(RuleBase):
    """Fires when an incident of a watched rule opened or reopened at least `changes` times within `window`; the
    incident that flaps is then muted until this one resolves, so that one message takes the place of many. It
    resolves when fewer than half of `changes` are left in the window."""

    kind: Literal["flapping"]
    rules: tuple[Name, ...] = Field((), description="ids of the rules watched; none given: all but flapping ones")
    changes: int = Field(5, ge=2, le=1_000, description="how often it must open or reopen")
    window: Duration = Field(3_600, le=86_400, description="within what time, 1h")

    def group(self, rule_id: str, group: dict[str, str]) -> dict[str, str]:
        """The group of the incident that says that one of this rule and group flaps."""
        return {RULE_FIELD: rule_id} | group

    def watches(self, rule_id: str) -> bool:
        """Whether it counts a rule's incidents; of its own kind it watches none, whoever asks must know."""
        return not self.rules or rule_id in self.rules
