"""Records that no sane program writes, and what must be found again of each of them.

JSON is put together here as text, not by a writer: only so are there keys that come twice, numbers without end, NaN
and half surrogate pairs. Most texts are given a number of their own, so that one that is lost is not made up for by
another.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

from streaming.events.fields import LABELS_KEY_CHARACTERS
from streaming.events.model import Json
from streaming.events.times import iso_utc


@dataclass
class Hostile:
    """A record's bytes; the texts and numbers that are in it (as written), and its longest keys."""

    value: bytes
    texts: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    long_keys: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return repr(self.value[:2_000])


KNOWN_KEYS = (  # noqa: SIM905 - as a list it would be forty lines
    "timestamp @timestamp time ts level log_level severity severityNumber levelno priority message msg body log event "
    "service service_name host host.name node_id log_id logger pid process thread error error_details error.code "
    "exception stack_trace response_time_ms event.duration threshold_limit_ms trace_id span_id start_time http_status "
    "http url.path labels labels.a resource attributes scope vigil vigil.source vigil_original_msgpack _id _source "
    "_index _routing _type message_type data payload record tags fields"
).split()

NASTY_KEYS = [
    "", " ", "\t", ".", "..", "a.", ".a", "a..b", "a.b", "a_b", "a", "\0", "a\0b", "\u202e", "\ufeff", "é", "💥",
    "k" * 201, "k" * 32_768, "é" * 300, ".".join("abc" * 30), "__proto__", "$ref", "a#2", "(empty)", "\n", '"', "\\",
]  # fmt: skip

NASTY_TEXTS = [
    "", " ", "\0", "a\0b", "\x1b[31m", "\r\n", "\u2028", "\ufeff", "\ufffe", "é", "💥", '"', "\\", "{", "[1", "null",
    "9999-12-31T23:59:59Z", "-1", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2262-04-12T00:00:00Z",
    "2026-02-30T00:00:00Z", "2026-11-24T06:00:00.123456789Z", "10000-01-01", "ERROR", "warning", "NaN", "1e999",
    "x" * 32_767, "x" * 33_000, "é" * 20_000, "x y " * 10_000, "a" * 256,
]  # fmt: skip

NASTY_NUMBERS = [
    "0", "-0", "-0.0", "1", "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1e308", "1e309", "-1e400", "1e-400",
    "0.1234567890123456789012345678", "123456789012345678901234567890", "9" * 400, "253402300799", "-62135596800",
    "1700000000", "1700000000.123", "1.7e18", "NaN", "Infinity", "-Infinity", "2", "5e-324", "1E+2",
]  # fmt: skip


class _Writer:
    """Writes a tree as JSON text and notes what is in it."""

    def __init__(self) -> None:
        self.noted = Hostile(b"")
        self._numbers = itertools.count(1000)

    def text(self, text: str, *, unique: bool) -> str:
        whole = f"{text}~{next(self._numbers)}" if unique else text
        self.noted.texts.append(whole)
        return json.dumps(whole, ensure_ascii=unique)  # lone surrogates only ever come as escapes

    def key(self, key: str) -> str:
        if len(key) > LABELS_KEY_CHARACTERS:
            self.noted.long_keys.append(key)
        return json.dumps(key)

    def number(self, digits: str) -> str:
        self.noted.numbers.append(digits)
        return digits


@st.composite
def _values(draw: st.DrawFn, writer: _Writer, depth: int) -> str:
    kind = draw(st.integers(0, 9))
    if kind <= 2:
        return writer.text(draw(st.sampled_from(NASTY_TEXTS) | st.text(max_size=20)), unique=True)
    if kind == 3:
        return writer.text(draw(st.sampled_from([t for t in NASTY_TEXTS if t])), unique=False)
    if kind == 4:
        return writer.number(draw(st.sampled_from(NASTY_NUMBERS)))
    if kind == 5:
        return writer.number(str(draw(st.integers())))
    if kind == 6:
        return draw(st.sampled_from(["true", "false", "null"]))
    if depth <= 0:
        return draw(st.sampled_from(["{}", "[]"]))
    if kind == 7:
        return "[" + ",".join(draw(_values(writer, depth - 1)) for _ in range(draw(st.integers(0, 3)))) + "]"
    if kind == 8:
        levels = draw(st.sampled_from([1, 5, 19, 20, 21, 25, 90, 250]))
        inner = draw(_values(writer, 0))
        if draw(st.booleans()):
            return "[" * levels + inner + "]" * levels
        key = draw(st.sampled_from([key for key in NASTY_KEYS if len(key) < 300]))
        return f"{{{writer.key(key)}:" * levels + inner + "}" * levels
    return draw(_objects(writer, depth - 1))


_KEYS = st.sampled_from(KNOWN_KEYS) | st.sampled_from(NASTY_KEYS) | st.text(max_size=8)


@st.composite
def _objects(draw: st.DrawFn, writer: _Writer, depth: int) -> str:
    members = []
    for _ in range(draw(st.integers(0, 5))):
        key = draw(_KEYS)
        members.append(f"{writer.key(key)}:{draw(_values(writer, depth))}")
        if draw(st.integers(0, 9)) == 0:
            members.append(f"{writer.key(key)}:{draw(_values(writer, depth))}")
    return "{" + ",".join(members) + "}"


@st.composite
def hostile_json(draw: st.DrawFn) -> Hostile:
    """A JSON object of any content, sometimes with bytes that are no UTF-8."""
    writer = _Writer()
    text = draw(_objects(writer, 2))
    noted = writer.noted
    noted.value = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 19)) == 0:
        noted.value += draw(st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0", b"}"]))
    return noted


@st.composite
def hostile_lines(draw: st.DrawFn) -> Hostile:
    """A line of text with a head like those of known formats, or without."""
    head = draw(
        st.sampled_from(
            [
                "", "9999-12-31 23:59:59 ERROR ", "2026-11-24T06:00:00Z INFO a.b.C: ",
                "<34>1 9999-10-11T22:14:15Z h a 99999999999 x - ",
                "Jun 14 15:16:01 combo sshd[4294967296]: ",
                "[Sun Dec 04 04:47:44 9999] [error] ", "\0", "\ufeff", "[" * 300,
                '10.0.0.1 - - [04/Dec/9999:04:47:44 +0000] "GET /' + "x" * 3_900 + ' HTTP/1.1" 200 ',
            ]
        )
    )  # fmt: skip
    body = draw(st.sampled_from(NASTY_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    text = f"{head}{body}~1"
    return Hostile(text.encode("utf-8", "surrogatepass"), texts=[f"{body}~1".strip()])


hostile_records = hostile_json() | hostile_json() | hostile_json() | hostile_lines()


def missing(record: Hostile, document: dict[str, Json]) -> list[str]:
    """What of the record is nowhere in its document, each as it was written."""
    texts, numbers = set[str](), list[int | float]()
    for leaf in _leaves(document):
        if isinstance(leaf, str):
            texts.add(leaf)
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            numbers.append(leaf)
    whole = "\n".join(texts)
    dates = {date for text in texts if (date := iso_utc(text)) is not None}
    return [
        *(text for text in [*record.texts, *record.long_keys] if not _has_text(text, texts, whole, dates)),
        *(digits for digits in record.numbers if not _has_number(digits, numbers, whole)),
    ]


def _leaves(value: Json) -> Iterator[Json]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _has_text(text: str, texts: set[str], whole: str, dates: set[int]) -> bool:
    """As it is; as a part of a longer text; as JSON has it within a text; or as a date."""
    if text in texts or text == "LOG":
        return True
    shown = text.encode("utf-8", "backslashreplace").decode()
    if any(form in whole for form in (shown, _inside(text, True), _inside(text, False))):
        return True
    when = iso_utc(text)
    return when is not None and when in dates


def _inside(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "backslashreplace").decode()


def _has_number(digits: str, numbers: list[int | float], whole: str) -> bool:
    """As a number of the same value, as nanoseconds of milliseconds, or as it was written."""
    value = float(digits)
    if digits in whole or repr(value) in whole:
        return True
    if not math.isfinite(value):
        return False
    exact: int | float = int(digits) if digits.lstrip("-").isdigit() else value
    return exact in numbers or (value >= 0 and round(exact * 1_000_000) in numbers)
