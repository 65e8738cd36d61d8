"""Which values a matcher has told the manager lately, and so need not tell again."""

from __future__ import annotations

from typing import Final

from streaming.alerting.rules.new_value import NewRule

SEEN_AGAIN_MS: Final = 3_600_000
"""A value that goes on being seen is told once an hour: 100 rules of 10,000 values each make 280 messages a second. A
rule that forgets values after less than two hours is told at half that time; one that learns for less than four, at a
quarter of it: what the manager dropped, since it still went by other rules, is made good while the rule learns."""

LEAST_AGAIN_MS: Final = 10_000
"""A rule that hardly learns must not make every log a message."""

KEPT: Final = 200_000
"""Values of all rules together, each some 300 bytes: 60 MB. Beyond, the one told longest ago is forgotten and told
again."""

Value = tuple[str, tuple[str, ...], str]
"""Rule, group and value."""


def again_ms(rule: NewRule) -> int:
    """How long a value of this rule is not told again."""
    learning = max(LEAST_AGAIN_MS, int(rule.learn_for * 250))
    return min(SEEN_AGAIN_MS, int(rule.forget_after * 500), learning)


class Told:
    """Values and until when they need not be told. What was told counts only once it was committed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._until: dict[Value, int] = {}

    def until(self, value: Value) -> int:
        """Until when it need not be told, ms; 0: it must be told now."""
        return self._until.get(value, 0)

    def committed(self, value: Value, until_ms: int) -> None:
        """It was told."""
        self._until.pop(value, None)
        self._until[value] = until_ms
        if len(self._until) > self._kept:
            del self._until[next(iter(self._until))]
