"""What a `<filter>` of a pipeline asks for, and how a value of a record is named and read as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streaming.accumulator.configuration.parse import Parse
from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.template import Hash

if TYPE_CHECKING:
    from streaming.events.model import Json

KeyPath = tuple[str, ...]
"""The keys that lead to a value."""


@dataclass(frozen=True)
class Condition:
    """The text of the value at `keys` matches `pattern`. No value is the empty text, as in Fluentd."""

    keys: KeyPath
    pattern: Pattern

    def met(self, record: dict[str, Json]) -> bool:
        """Whether it matches."""
        return self.pattern.found_in(text_at(record, self.keys))


@dataclass(frozen=True)
class Grep:
    """Lets an event pass that meets all of `regexps` and any of `any_regexps`, unless it meets any of `excludes` or
    all of `all_excludes`. An empty group says nothing."""

    regexps: tuple[Condition, ...] = ()
    excludes: tuple[Condition, ...] = ()
    any_regexps: tuple[Condition, ...] = ()
    all_excludes: tuple[Condition, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All there are."""
        return (*self.regexps, *self.excludes, *self.any_regexps, *self.all_excludes)

    def passes(self, record: dict[str, Json]) -> bool:
        """Whether this event goes on."""
        return (
            all(c.met(record) for c in self.regexps)
            and not any(c.met(record) for c in self.excludes)
            and (not self.any_regexps or any(c.met(record) for c in self.any_regexps))
            and not (self.all_excludes and all(c.met(record) for c in self.all_excludes))
        )


@dataclass(frozen=True)
class RecordTransformer:
    """Puts `record` over an event's fields, or with `renew_record` in place of all but `keep_keys`; then removes keys.

    `renew_time_key` names a field that holds the event's new time, in seconds.
    """

    record: Hash
    remove_keys: tuple[KeyPath, ...]
    keep_keys: tuple[str, ...]
    renew_record: bool
    renew_time_key: str | None
    auto_typecast: bool


@dataclass(frozen=True)
class ParserFilter:
    """Reads the text at `key` into fields. Flags are those of Fluentd's filter `parser`."""

    key: KeyPath
    parse: Parse
    reserve_data: bool
    reserve_time: bool
    remove_key_name_field: bool
    inject_key_prefix: str
    hash_value_field: str | None
    emit_invalid_record_to_error: bool


FilterRule = Grep | RecordTransformer | ParserFilter


def text_at(record: Json, keys: KeyPath) -> str:
    """A value of a record as text; a map or list as JSON."""
    value = record
    for key in keys:
        if not isinstance(value, dict):
            return ""
        value = value.get(key)
    if value.__class__ is str:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=repr) if isinstance(value, dict | list) else str(value)
