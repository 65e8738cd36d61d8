"""Fluentd's configuration language: from text to a tree that knows the file and line of everything.

Source: Fluentd's documentation, "Config File Syntax", and its `v1_parser.rb` and `literal_parser.rb`. Embedded Ruby is
understood in the forms that configurations use for deployment alone (see `embedded`), in double quotes as in Fluentd.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streaming.accumulator.configuration.embedded import evaluate
from streaming.accumulator.configuration.includes import included_files
from streaming.errors import ConfigError

DEEPEST_SECTION = 16
DEEPEST_INCLUDE = 16
"""Fluentd's own sections go four deep; these end what would otherwise end in a stack overflow."""


@dataclass(frozen=True)
class Place:
    """Where something stands."""

    file: Path
    line: int

    def error(self, reason: str, *, name: str | None = None, remedy: str | None = None) -> ConfigError:
        """A `ConfigError` about this place."""
        return ConfigError(reason, file=self.file, line=self.line, field=name, remedy=remedy)


@dataclass(frozen=True)
class Parameter:
    """`name value`. `value` is the text with quotes and escapes undone; empty for a name alone."""

    name: str
    value: str
    place: Place


@dataclass
class Element:
    """`<name argument>` with what it holds. The whole file is an element with an empty name."""

    name: str
    argument: str
    place: Place
    parameters: dict[str, Parameter] = field(default_factory=dict)
    elements: list[Element] = field(default_factory=list)


def parse_file(path: Path, environment: Mapping[str, str]) -> Element:
    """Reads a configuration file and all it includes.

    Raises:
        ConfigError: it cannot be read, or not understood.
    """
    if path.suffix in (".yaml", ".yml"):
        raise ConfigError("Fluentd's configuration as YAML is not supported", file=path)
    root = Element("", "", Place(path, 1))
    _Parser(_read(path), path, environment, (os.path.realpath(path),)).element(root, top=True)
    return root


def _read(path: Path) -> str:
    """A file's text; lines end with LF, CRLF or CR, as in Fluentd."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path) from error
    if raw.startswith(codecs.BOM_UTF8):
        raise ConfigError("begins with a byte order mark, which Fluentd takes as text", file=path, line=1)
    wrong = raw.find(b"\0")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        raise ConfigError("is no text in UTF-8", file=path, line=raw.count(b"\n", 0, wrong) + 1)
    return text.replace("\r\n", "\n").replace("\r", "\n")


_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*(?:\n|\Z))+")
"""Between elements: blanks, line ends, comments."""
_BLANKS = re.compile(r"[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_OPEN = re.compile(r"<([a-zA-Z0-9_]+)[ \t]*")
_ARGUMENT = re.compile(r"[^>\n]*?(?=[ \t]*>)")
_OPEN_END = re.compile(r"[ \t]*>")
_CLOSE = re.compile(r"</([a-zA-Z0-9_]+)[ \t]*>")
_NAME = re.compile(r"[^ \t\r\n<#\"'][^ \t\r\n]*")
_TO_LINE_END = re.compile(r"[^\n]*")
_EMBEDDED = re.compile(r"\{[^}\n]+\}")
_BARE = re.compile(r"(?:(?![ \t]+#|[ \t]*\r?$).)*", re.MULTILINE)
"""An unquoted value ends with its line; `#` starts a comment in it only behind a blank, as Fluentd reads it."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "b": "\b", "0": "\0"}


class _Parser:
    def __init__(self, text: str, path: Path, environment: Mapping[str, str], including: tuple[str, ...]) -> None:
        self._text, self._path, self._environment, self._including = text, path, environment, including
        self._at = 0
        self._use_default = False
        """Whether the value that was read last says `use_default`."""

    def element(self, element: Element, *, top: bool = False, depth: int = 0) -> None:
        """Parameters and elements up to the end of this one. `top`: the end is the file's."""
        if depth > DEEPEST_SECTION:
            raise element.place.error(f"sections more than {DEEPEST_SECTION} deep")
        while True:
            self._skip(_SPACE)
            place = self._place()
            if self._at >= len(self._text):
                if not top:
                    raise element.place.error(f"<{element.name}> is not closed", remedy=f"Add </{element.name}>")
                return
            if closed := self._take(_CLOSE):
                self._end_of_line("a closing tag")
                if top or closed[1] != element.name:
                    expected = "nothing is open" if top else f"expected </{element.name}>"
                    raise place.error(f"</{closed[1]}> closes what is not open; {expected}")
                return
            if opened := self._take(_OPEN):
                child = Element(opened[1], self._argument(place), place)
                self._end_of_line("a tag")
                self.element(child, depth=depth + 1)
                element.elements.append(child)
            else:
                self._parameter(element, place, top=top)

    def _argument(self, place: Place) -> str:
        """What stands between a section's name and `>`; it may be quoted, as a value may."""
        self._use_default = False
        quoted = self._quoted(place)
        bare = self._take(_ARGUMENT) if quoted is None else None
        if self._take(_OPEN_END) is None:
            raise place.error("a tag that does not end with >")
        if self._use_default:
            raise place.error("use_default, where there is no default")
        return quoted if quoted is not None else bare[0] if bare else ""

    def _parameter(self, element: Element, place: Place, *, top: bool) -> None:
        name = self._name(place)
        self._use_default = False
        self._skip(_BLANKS)
        value = "" if self._peek(_LINE_END) and self._text[self._at : self._at + 1] != "#" else self._value(place)
        self._end_of_line(f"the value of {name}")
        if name == "@include" or (top and name == "include"):
            self._include(element, value, place)
        elif name in element.parameters:
            before = element.parameters[name].place.line
            raise place.error(f"given twice, first in line {before}", name=name)
        elif not self._use_default:
            element.parameters[name] = Parameter(name, value, place)

    def _name(self, place: Place) -> str:
        """Of a parameter; quoted where it holds what would end it, as in Fluentd."""
        if quoted := self._quoted(place):
            return quoted
        name = self._take(_NAME)
        if name is None:
            line = self._text[self._at :].split("\n", 1)[0]
            raise place.error(f"neither a parameter nor a section: {line[:40]!r}")
        return name[0]

    def _value(self, place: Place) -> str:
        quoted = self._quoted(place)
        if quoted is not None:
            return quoted
        if self._text[self._at] in "[{":
            return self._json(place)
        bare = self._take(_BARE)
        return bare[0] if bare else ""

    def _quoted(self, place: Place) -> str | None:
        first = self._text[self._at : self._at + 1]
        if first == '"':
            return self._double_quoted(place)
        if first == "'":
            return self._single_quoted(place)
        return None

    def _json(self, place: Place) -> str:
        """An array or a hash, over several lines and with comments if need be. Fluentd takes nothing else that begins
        so unquoted."""
        out: list[str] = []
        open_ = 0
        while True:
            char = self._next(place)
            if char == "#":
                self._json_comment("".join(out), place)
                continue
            out.append(self._json_string(place) if char == '"' else char)
            open_ += (char in "[{") - (char in "]}")
            if not open_:
                break
        try:
            return json.dumps(json.loads("".join(out)))
        except (ValueError, RecursionError) as error:
            raise place.error(f"no JSON: {error}", remedy="Put a text that begins with [ or { in quotes") from error

    def _json_comment(self, before: str, place: Place) -> None:
        """Fluentd takes `#` as the begin of a comment where what stands before it would be whole if it were closed."""
        closed = before.rstrip().removesuffix(",") + ("]" if before[0] == "[" else "}")
        try:
            json.loads(closed)
        except (ValueError, RecursionError) as error:
            raise place.error("# within an array or a hash, where no comment can stand") from error
        self._skip(_TO_LINE_END)

    def _json_string(self, place: Place) -> str:
        out = ['"']
        while True:
            char = self._next(place)
            if char == "#" and self._peek(_EMBEDDED):
                self._at += 1
                out.append(json.dumps(self._embedded(place))[1:-1])
                continue
            out.append(char)
            if char == '"':
                return "".join(out)
            if char == "\\":
                out.append(self._next(place))

    def _double_quoted(self, place: Place) -> str:
        parts: list[str] = []
        self._at += 1
        while True:
            char = self._next(place)
            if char == '"':
                return "".join(parts)
            if char == "\\":
                parts.append(self._escape(place))
            elif char == "#" and self._text[self._at : self._at + 1] == "{":
                self._at += 1
                parts.append(self._embedded(place))
            else:
                parts.append(char)

    def _escape(self, place: Place) -> str:
        char = self._next(place)
        if char == "\n":
            return ""
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isalnum():
            raise place.error(f"unknown escape \\{char}", remedy="Write \\\\ for a backslash, or use single quotes")
        return char

    def _embedded(self, place: Place) -> str:
        try:
            value, self._at = evaluate(self._text, self._at, self._environment)
        except ValueError as error:
            raise place.error(str(error)) from error
        self._use_default = self._use_default or value is None
        return value or ""

    def _single_quoted(self, place: Place) -> str:
        parts: list[str] = []
        self._at += 1
        while True:
            char = self._next(place)
            if char == "'":
                return "".join(parts)
            if char == "\n":
                raise place.error("a text in single quotes that does not end in its line")
            if char == "\\" and self._text[self._at : self._at + 1] in ("'", "\\"):
                char = self._next(place)
            parts.append(char)

    def _include(self, element: Element, written: str, place: Place) -> None:
        try:
            files = included_files(self._path.parent, written)
        except ValueError as error:
            raise place.error(str(error), name="@include") from error
        for file in files:
            real = os.path.realpath(file)
            if real in self._including:
                raise place.error(f"{file} includes itself", name="@include")
            if len(self._including) > DEEPEST_INCLUDE:
                raise place.error(f"files more than {DEEPEST_INCLUDE} deep", name="@include")
            _Parser(_read(file), file, self._environment, (*self._including, real)).element(element, top=True)

    def _next(self, place: Place) -> str:
        if self._at >= len(self._text):
            raise place.error("a quoted text, an array or a hash that does not end")
        char = self._text[self._at]
        self._at += 1
        return char

    def _end_of_line(self, behind: str) -> None:
        if self._take(_LINE_END) is None:
            rest = self._text[self._at :].split("\n", 1)[0]
            raise self._place().error(f"{rest.strip()[:40]!r} behind {behind}")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _peek(self, pattern: re.Pattern[str]) -> bool:
        return pattern.match(self._text, self._at) is not None

    def _place(self) -> Place:
        return Place(self._path, self._text.count("\n", 0, self._at) + 1)
