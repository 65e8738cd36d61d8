"""Which rules remember, by which part, and when what one remembered is of no use to another."""

from __future__ import annotations

from streaming import decoding
from streaming.alerting.memory.records import RULE, SilenceRecord, ValueRecord, WindowRecord
from streaming.alerting.memory.silence import Silence
from streaming.alerting.memory.values import Values
from streaming.alerting.memory.windows import Windows
from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule

RememberingRule = ThresholdRule | SpikeRule | ErrorRatioRule | AbsenceRule | NewValueRule | NewTemplateRule
Keeper = Windows | Silence | Values

_RECORDS: dict[str, type[WindowRecord | SilenceRecord | ValueRecord]] = {
    part.word: part.kind for part in (Windows, Silence, Values)
}


def remembering(rules: RuleSet) -> dict[str, RememberingRule]:
    """The rules in force that remember something, by id."""
    return {rule.id: rule for rule in rules.rules if rule.enabled and isinstance(rule, RememberingRule)}


def keeper_of(rule: RememberingRule) -> Keeper:
    """An empty one for a rule."""
    match rule:
        case AbsenceRule():
            return Silence(rule)
        case NewValueRule() | NewTemplateRule():
            return Values(rule)
        case _:
            return Windows(rule)


def split(key: bytes) -> tuple[str, str, str]:
    """A key's rule, word and name of the group; the word is empty where a record is none of this memory's."""
    rule_id, _, rest = key.decode("utf-8", "replace").partition("|")
    word, bar, name = rest.partition("|")
    known = word in _RECORDS or (word == RULE and not bar)
    return (rule_id, word, bar + name) if known else (rule_id, "", "")


def open_group(word: str, value: bytes) -> dict[str, str] | None:
    """The group of a record's incident, where one may be open.

    Raises:
        msgspec.MsgspecError: it is none of this memory's records.
    """
    record = decoding.decode(value, _RECORDS[word])
    if isinstance(record, ValueRecord):
        return record.group or None
    return record.group if (record.firing if isinstance(record, WindowRecord) else record.fired) else None
