"""The parsers themselves: JSON, regular expressions, several lines, and none.

Source: Fluentd's documentation of each, and its `parser_*.rb`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import orjson

from streaming.accumulator.configuration.parse import JsonParse, MultilineParse, NoneParse, Parse, RegexpParse
from streaming.accumulator.parsers.fields import FieldReader, Parsed, Unparsed

if TYPE_CHECKING:
    from streaming.events.model import Json

_DIGITS = bytes(48 if 48 <= byte <= 57 else 0 for byte in range(256))
_LONG_NUMBER = b"0" * 19
"""Only where so many digits stand together can a whole number be beyond 64 bit, of which orjson makes a float and
loses digits. To make all digits 0 and look for these is ten times as fast as a regular expression."""
_INT_LIMIT = 2**64


class Parser(Protocol):
    """Reads a text. Bytes are UTF-8, of which what is none is kept as lone surrogates (`surrogateescape`)."""

    def parse(self, text: str | bytes, now_ns: int) -> list[Parsed]:
        """The events of a text, mostly one.

        Raises:
            Unparsed: it is not what this parser reads.
        """
        ...


def parser_of(parse: Parse) -> Parser:
    """The parser that a `<parse>` section asks for."""
    if isinstance(parse, JsonParse):
        return _Json(parse)
    if isinstance(parse, NoneParse):
        return _None(parse)
    return _Regexp(parse) if isinstance(parse, RegexpParse) else _Multiline(parse)


class _Json:
    def __init__(self, parse: JsonParse) -> None:
        self._fields = FieldReader(parse.fields)

    def parse(self, text: str | bytes, now_ns: int) -> list[Parsed]:
        try:
            found = _loads(text)
        except (ValueError, RecursionError) as error:
            raise Unparsed(f"no JSON: {error}") from error
        if isinstance(found, dict):
            return [self._fields.read(found, now_ns)]
        if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
            raise Unparsed("JSON, but no object and no array of objects")
        return [self._fields.read(item, now_ns) for item in found if isinstance(item, dict)]


def _loads(text: str | bytes) -> Json:
    """Whole numbers beyond 64 bit become text, with all their digits."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    found: Json
    if _LONG_NUMBER not in raw.translate(_DIGITS):
        found = orjson.loads(raw)
    else:
        found = json.loads(raw.decode(), parse_int=_whole_number, parse_constant=_no_number)
    return found


def _whole_number(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -(_INT_LIMIT // 2) <= number < _INT_LIMIT else digits


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


class _None:
    def __init__(self, parse: NoneParse) -> None:
        self._parse = parse

    def parse(self, text: str | bytes, now_ns: int) -> list[Parsed]:
        return [Parsed(now_ns if self._parse.estimate_current_event else None, {self._parse.message_key: _text(text)})]


class _Regexp:
    def __init__(self, parse: RegexpParse) -> None:
        self._expression, self._fields = parse.expression, FieldReader(parse.fields)

    def parse(self, text: str | bytes, now_ns: int) -> list[Parsed]:
        found = self._expression.search(_text(text))
        if found is None:
            raise Unparsed("the pattern does not match")
        return [self._fields.read({**found.fields}, now_ns)]


class _Multiline:
    """As often as the expression is found one behind the other."""

    def __init__(self, parse: MultilineParse) -> None:
        self._expression, self._fields = parse.expression, FieldReader(parse.fields)

    def parse(self, text: str | bytes, now_ns: int) -> list[Parsed]:
        rest = _text(text)
        events: list[Parsed] = []
        while rest:
            found = self._expression.search(rest)
            if found is None or not found.end:
                raise Unparsed("the pattern does not match" if not events else "the pattern does not match the rest")
            events.append(self._fields.read({**found.fields}, now_ns))
            rest = rest[found.end :].removeprefix("\n")
        if not events:
            raise Unparsed("empty")
        return events


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
