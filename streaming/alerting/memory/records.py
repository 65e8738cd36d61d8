"""What is kept of rules' memory in topic `rule-state`: arrays of JSON, since there are many and they change often.

Keys are `<rule id>|#rule`, and `<rule id>|#window`, `|#silence` or `|#value` followed by `|field=value` for each field
of the group, as in an incident's key. `|#progress` is that of all rules together. No rule has such an id, so no key of
what follows incidents (`relations/`) is one of these.
"""

from __future__ import annotations

import msgspec

from streaming.alerting.incidents.decision import Kept
from streaming.alerting.messages import Sample, incident_key
from streaming.kafka import topics

RULE = "#rule"
WINDOW = "#window"
SILENCE = "#silence"
VALUE = "#value"
PROGRESS_KEY = b"|#progress"


class RuleRecord(msgspec.Struct, array_like=True, frozen=True):
    """Which definition of a rule the others of it belong to, and since when it has been in force (manager's clock)."""

    definition: str
    started_ms: int


class ProgressRecord(msgspec.Struct, array_like=True, frozen=True):
    """How far matchers are: of each partition the time up to which it was evaluated, and by which rule set."""

    reached: dict[int, tuple[int, str]]
    watermark_ms: int | None
    grew_ms: int


class WindowRecord(msgspec.Struct, array_like=True, frozen=True):
    """The series of one group of a rule over a window (`series.py`).

    `cells` holds, of each bucket in order of touch, five numbers: its index (as the difference from `base`), matching,
    told, all, and when it was touched (as the difference from its index). Some 12 bytes a bucket.
    """

    group: dict[str, str]
    base: int
    cells: list[int]
    firing: bool
    hot_to: int
    recovered_ms: int
    late_ms: int
    first_ms: int
    blocks: dict[int, int]
    sample: Sample | None
    touched: int


class SilenceRecord(msgspec.Struct, array_like=True, frozen=True):
    """The last sign of one group of an absence rule."""

    group: dict[str, str]
    last_ms: int
    seen: bool
    fired: bool
    sample: Sample | None


class ValueRecord(msgspec.Struct, array_like=True, frozen=True):
    """The day (since 1970) on which a value was last seen; `group` is that of its incident, if it raised one."""

    day: int
    group: dict[str, str] = {}


def name_of(group: dict[str, str]) -> str:
    """A group as keys name it: `|field=value` for each field."""
    return incident_key("", group)


def key_of(rule_id: str, word: str, name: str = "") -> bytes:
    """Key of a record of one rule."""
    return f"{rule_id}|{word}{name}".encode("utf-8", "replace")


def kept(key: bytes, value: msgspec.Struct | None) -> Kept:
    """A record of the topic; None gives the key up."""
    return Kept(topics.RULE_STATE, key, value)
