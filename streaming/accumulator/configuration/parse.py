"""What a `<parse>` section asks for; `streaming/accumulator/parsers` does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

from streaming.accumulator.configuration.pattern import Pattern

UNIXTIME, FLOAT = "unixtime", "float"
"""Formats of a time that is a number: whole seconds, seconds with a fraction."""


@dataclass(frozen=True)
class TimeFormat:
    """How a time is written: the first of `formats` that fits.

    A format is strptime's, `%iso8601`, `unixtime`, `float`, or None for any usual notation. `zone` holds for texts
    that name none; None: this machine's.
    """

    formats: tuple[str | None, ...]
    zone: tzinfo | None


@dataclass(frozen=True)
class FieldType:
    """One of `types`: what a field's text is turned into."""

    name: str
    kind: Literal["string", "integer", "float", "bool", "time", "array"]
    delimiter: str = ","
    """Of an array."""
    time: TimeFormat | None = None


@dataclass(frozen=True)
class Fields:
    """What is done with the fields of a parsed text, whatever parsed it."""

    time_key: str | None
    """Holds the event's time; taken out of the fields unless `keep_time_key`."""
    keep_time_key: bool
    time: TimeFormat
    estimate_current_event: bool
    """Without a time, the time is now."""
    types: tuple[FieldType, ...]
    null_value_pattern: Pattern | None
    null_empty_string: bool


@dataclass(frozen=True)
class JsonParse:
    """One JSON object, or an array of them."""

    fields: Fields


@dataclass(frozen=True)
class NoneParse:
    """The text as it is, under `message_key`."""

    message_key: str
    estimate_current_event: bool


@dataclass(frozen=True)
class RegexpParse:
    """Named groups become fields."""

    expression: Pattern
    fields: Fields


@dataclass(frozen=True)
class MultilineParse:
    """As RegexpParse, over lines: an event begins with a line that `first_line` is found in."""

    first_line: Pattern | None
    expression: Pattern
    fields: Fields


Parse = JsonParse | NoneParse | RegexpParse | MultilineParse


def patterns_of(parse: Parse) -> tuple[Pattern, ...]:
    """All patterns that texts are searched for."""
    if isinstance(parse, NoneParse):
        return ()
    nulls = parse.fields.null_value_pattern
    found = (nulls,) if nulls else ()
    if isinstance(parse, JsonParse):
        return found
    if isinstance(parse, MultilineParse) and parse.first_line:
        found = (parse.first_line, *found)
    return (parse.expression, *found)
