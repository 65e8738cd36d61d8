"""What a `<parse>` section may be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.parse import (
    FLOAT,
    UNIXTIME,
    Fields,
    FieldType,
    JsonParse,
    MultilineParse,
    NoneParse,
    Parse,
    RegexpParse,
    TimeFormat,
)
from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.ruby_regexp import compile_ruby
from streaming.accumulator.configuration.sections import Section, typed
from streaming.accumulator.parsers.times import reader_of, zone_of

_MOST_FORMATS = 20
"""Of a multiline parser: format1 to format20."""
_NUMBERS = (UNIXTIME, FLOAT)


def parse_of(section: Section) -> Parse:
    """The `<parse>` of a section that must have one."""
    given = section.child("parse")
    if given is None:
        raise section.error("<parse> is required")
    return typed(given, PARSERS)


def _json(section: Section) -> Parse:
    # One parser reads all; the size is that of a stream's buffer.
    section.checked_only(json_parser=values.one_of("oj", "yajl", "json"), stream_buffer_size=values.count)
    return JsonParse(_fields(section, "float"))


def _none(section: Section) -> Parse:
    return NoneParse(
        section.get("message_key", values.text, "message"),
        section.get("estimate_current_event", values.boolean, True),
    )


def _regexp(section: Section) -> Parse:
    expression = section.required("expression", values.pattern)
    if not expression.python.groupindex:
        raise section.place_of("expression").error("no named group, as (?<name>..)", name="expression")
    return RegexpParse(expression, _fields(section, "string"))


def _multiline(section: Section) -> Parse:
    parts: list[str] = []
    for n in range(1, _MOST_FORMATS + 1):
        part = section.optional(f"format{n}", _lines_pattern)
        if part is None:
            continue
        if len(parts) < n - 1:
            raise section.place_of(f"format{n}").error(f"format{n - 1} is missing", name=f"format{n}")
        parts.append(part)
    if not parts:
        raise section.error("is required", field="format1")
    first_line = section.optional("format_firstline", lambda text: Pattern(compile_ruby(_lines_pattern(text))))
    try:
        expression = Pattern(compile_ruby("".join(parts), dot_matches_all=True))
    except ValueError as error:
        raise section.place_of("format1").error(str(error), name="format1") from error
    if not expression.python.groupindex:
        raise section.place_of("format1").error("no named group, as (?<name>..)", name="format1")
    return MultilineParse(first_line, expression, _fields(section, "string"))


def _lines_pattern(text: str) -> str:
    """`/../`, without flags, as Fluentd wants it here. It need be whole only with those that follow."""
    if len(text) < 2 or text[0] != "/" or text[-1] != "/":
        raise ValueError(f"{text!r} is not /pattern/")
    return text[1:-1]


PARSERS: Mapping[str, Callable[[Section], Parse]] = {
    "json": _json,
    "none": _none,
    "regexp": _regexp,
    "multiline": _multiline,
}


def _fields(section: Section, time_type: str) -> Fields:
    return Fields(
        time_key=section.get("time_key", values.text, "time"),
        keep_time_key=section.get("keep_time_key", values.boolean, False),
        time=_time(section, time_type),
        estimate_current_event=section.get("estimate_current_event", values.boolean, True),
        types=section.optional("types", _types) or (),
        null_value_pattern=section.optional("null_value_pattern", values.pattern),
        null_empty_string=section.get("null_empty_string", values.boolean, False),
    )


def _time(section: Section, default_type: str) -> TimeFormat:
    format_ = section.optional("time_format", _format)
    kind = section.get(
        "time_type",
        values.one_of("string", "unixtime", "float", "mixed"),
        "string" if format_ is not None else default_type,
    )
    zone = _zone(section)
    fallbacks = section.optional("time_format_fallbacks", _fallbacks) or ()
    if fallbacks and kind != "mixed":
        raise section.place_of("time_format_fallbacks").error("needs time_type mixed", name="time_format_fallbacks")
    if kind == "mixed":
        formats = (*([format_] if format_ else []), *fallbacks)
        if not formats:
            raise section.place_of("time_type").error("mixed needs time_format or time_format_fallbacks")
        return TimeFormat(formats, zone)
    if kind != "string":
        return TimeFormat((kind,), zone)
    if format_ is None and zone is not None:
        raise section.error("a zone needs time_format too", field="time_format")
    return TimeFormat((format_,), zone)


def _zone(section: Section) -> tzinfo | None:
    """`timezone`, `utc` or `localtime`; None: this machine's."""
    utc, local = section.optional("utc", values.boolean), section.optional("localtime", values.boolean)
    if utc is not None and local is not None and utc == local:
        raise section.place_of("utc").error("contradicts localtime", name="utc")
    named = section.optional("timezone", zone_of)
    return named or (UTC if utc or local is False else None)


def _format(text: str) -> str:
    reader_of(TimeFormat((text,), None))
    return values.text(text)


def _fallbacks(text: str) -> tuple[str, ...]:
    return tuple(part if part in _NUMBERS else _format(part) for part in values.array(text))


def _types(text: str) -> tuple[FieldType, ...]:
    """`field:type, field:type:option` or the same as JSON."""
    return tuple(_type(name, written) for name, written in values.hash_of_texts(text).items())


def _type(name: str, written: str) -> FieldType:
    word, _, option = written.partition(":")
    kind = values.one_of("string", "integer", "float", "bool", "time", "array")(word)
    if kind == "array":
        return FieldType(name, "array", delimiter=option or ",")
    if kind == "time":
        return FieldType(name, "time", time=_type_time(option))
    if option:
        raise ValueError(f"{word} takes no option: {option!r}")
    if kind == "string":
        return FieldType(name, "string")
    if kind == "integer":
        return FieldType(name, "integer")
    return FieldType(name, "float") if kind == "float" else FieldType(name, "bool")


def _type_time(option: str) -> TimeFormat:
    """`[zone:]format`, where the format may be unixtime or float too."""
    found = re.match(r"([+-]\d\d:?\d\d|[+-]\d\d|[A-Za-z_]+/[A-Za-z_/+-]+):", option, re.ASCII)
    zone = zone_of(found[1]) if found else None
    format_ = option[found.end() :] if found else option
    if format_ and format_ not in _NUMBERS:
        _format(format_)
    return TimeFormat((format_ or None,), zone)
