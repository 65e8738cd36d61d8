"""What follows any parser: the event's time, and fields with types.

Source: Fluentd's documentation, "parser plugins: parameters", and its `parser.rb`. A value that is not of the type
that `types` gives stays as it is, so that nothing is lost; Fluentd makes 0, false or null of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from streaming.accumulator.configuration.parse import Fields, FieldType
from streaming.accumulator.parsers.times import reader_of

if TYPE_CHECKING:
    from streaming.events.model import Json

_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,19})\s*")
_FLOAT = re.compile(r"\s*[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*")
_BOOL = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INT_LIMIT = 2**63


class Unparsed(ValueError):
    """A text that a parser cannot read; the message says why."""


class Parsed(NamedTuple):
    """One event of a text. `time_ns` None: the text names none, and none is to be taken for it."""

    time_ns: int | None
    record: dict[str, Json]


class FieldReader:
    """Applies `Fields`. Its `read` takes the time out of the record that it is given, and changes types in it."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._time = reader_of(fields.time)
        self._types = {t.name: _converter(t) for t in fields.types}
        self._nulls = fields.null_empty_string or fields.null_value_pattern is not None

    def read(self, record: dict[str, Json], now_ns: int) -> Parsed:
        """Raises Unparsed where the time cannot be read."""
        time_ns = self._time_of(record, now_ns)
        if self._nulls:
            for key, value in record.items():
                if isinstance(value, str) and self._is_null(value):
                    record[key] = None
        for key, convert in self._types.items():
            value = record.get(key)
            if value is not None:
                record[key] = convert(value, now_ns)
        return Parsed(time_ns, record)

    def _time_of(self, record: dict[str, Json], now_ns: int) -> int | None:
        fields = self._fields
        if fields.time_key is not None and fields.time_key in record:
            value = record[fields.time_key] if fields.keep_time_key else record.pop(fields.time_key)
            try:
                return self._time(value, now_ns)
            except ValueError as error:
                raise Unparsed(f"{fields.time_key}: {error}") from error
        return now_ns if fields.estimate_current_event else None

    def _is_null(self, value: str) -> bool:
        pattern = self._fields.null_value_pattern
        return (self._fields.null_empty_string and not value) or bool(pattern and pattern.found_in(value))


def _converter(field: FieldType) -> Callable[[Json, int], Json]:
    if field.kind == "time":
        assert field.time is not None
        read = reader_of(field.time)

        def seconds(value: Json, now_ns: int) -> Json:
            try:
                return read(value, now_ns) // 1_000_000_000
            except ValueError:
                return value

        return seconds
    if field.kind == "array":
        return lambda value, _: _array(value, field.delimiter)
    plain = {"string": _string, "integer": _integer, "float": _float, "bool": _bool}[field.kind]
    return lambda value, _: plain(value)


def _array(value: Json, delimiter: str) -> Json:
    parts: list[Json] = []
    if not isinstance(value, str):
        return value
    parts += value.split(delimiter)
    return parts


def _string(value: Json) -> Json:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _integer(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    found = _INTEGER.fullmatch(value) if isinstance(value, str) else None
    number = int(found[1]) if found else 0
    return number if found and -_INT_LIMIT <= number < _INT_LIMIT else value


def _float(value: Json) -> Json:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if isinstance(value, str) and _FLOAT.fullmatch(value) and math.isfinite(number := float(value)):
        return number
    return value


def _bool(value: Json) -> Json:
    found = _BOOL.get(str(value).lower()) if isinstance(value, str | int) else None
    return value if found is None else found
