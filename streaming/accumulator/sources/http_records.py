"""The records in a body: JSON, lines of JSON, msgpack. Pure.

Bodies come from outside, so they are taken apart one record at a time and never built whole: two bytes of JSON can
become sixty in memory. JSON is read as leniently as streaming/events reads it; where msgpack cannot hold
all that a record's text said (a key twice, a number of more digits than a float, an integer beyond 64 bits, half a
surrogate pair), the text goes along under `ORIGINAL`. A msgpack record stays the bytes that came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

import msgpack

from streaming.accumulator.sources.entries import Entries, TooMuchError, has_event_time, joined, packed, packed_time
from streaming.events import json_text
from streaming.events.model import Json

ORIGINAL: Final = "vigil_original_json"
"""Beside a record whose JSON text said more than its values."""

VALUES_LIMIT: Final = 2_000_000
"""Of a JSON text, counted by its commas and brackets: at 64 bytes each 128 MB for a moment. As many events as a request
may have (entries.py) with twenty values each."""
_PAIR: Final = b"\x92"
_MAPS: Final = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_ARRAYS: Final = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
_LONGEST_TIME: Final = 64
"""Bytes of a value that may be a time."""
_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**64 - 1


class BodyError(ValueError):
    """The body is not what it says it is; the text says where and why."""


class Form(NamedTuple):
    """What is done to each record. `time_ns` is the whole request's time, if it gave one; else the record's field
    `time_key` (seconds) is its time, and taken out unless `keep_time_key`. `extra` is put in last."""

    time_ns: int | None
    time_key: str
    keep_time_key: bool
    extra: dict[str, str]


def of_json(body: bytes, form: Form) -> Entries:
    """An object, or an array of objects. Raises `BodyError` and `TooMuchError`."""
    text = _text(body)
    _check_values(text)
    start = _skip_blank(text, 0)
    if text[start : start + 1] == "[":
        return joined(_json_entry(raw, form) for raw in _elements(text, start))
    return joined(iter([_json_entry(text, form)]))


def of_ndjson(body: bytes, form: Form) -> Entries:
    """One object a line; blank lines are none. Raises `BodyError` and `TooMuchError`, which names the line."""
    return joined(_lines(_text(body), form))


def of_msgpack(body: bytes, form: Form) -> Entries:
    """A map, or an array of maps. Raises `BodyError` and `TooMuchError`."""
    return joined(_packed_entry(raw, form) for raw in _packed_records(body))


def seconds_to_ns(value: object) -> int | None:
    """Seconds since the epoch, also as text, as nanoseconds; None where it is none that an EventTime can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        # The shortest decimal that gives this float is what the sender wrote; its binary value is not.
        number = Decimal(value if isinstance(value, str) else repr(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 < number < 2**32:
        return None
    time_ns = int(number * 1_000_000_000)
    return time_ns if has_event_time(time_ns) else None


# JSON


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8: {error.reason} at byte {error.start}") from error


def _lines(text: str, form: Form) -> Iterator[bytes]:
    at = number = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line, at, number = text[at:end], end + 1, number + 1
        if line.strip():
            try:
                _check_values(line)
                yield _json_entry(line, form)
            except (BodyError, TooMuchError) as error:
                raise type(error)(f"line {number}: {error}") from error


def _check_values(text: str) -> None:
    """Before a text is decoded, of which an array must be in order to find where its elements end."""
    if text.count(",") + text.count("[") + text.count("{") > VALUES_LIMIT:
        raise TooMuchError(f"more than {VALUES_LIMIT} values (or commas); send them in parts")


def _elements(text: str, start: int) -> Iterator[str]:
    """The text of each element of the array that begins at `start`."""
    at = _skip_blank(text, start + 1)
    if text[at : at + 1] == "]":
        at += 1
    else:
        while True:
            end = _end_of_value(text, at)
            yield text[at:end]
            at = _skip_blank(text, end)
            mark, at = text[at : at + 1], at + 1
            if mark == "]":
                break
            if mark != ",":
                raise BodyError(f"not JSON: neither a comma nor the array's end at character {at - 1}")
            at = _skip_blank(text, at)
    if _skip_blank(text, at) < len(text):
        raise BodyError(f"not JSON: something follows the array at character {at}")


def _end_of_value(text: str, at: int) -> int:
    try:
        return _JSON.raw_decode(text, at)[1]
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BodyError(f"not JSON: {error}") from error


def _skip_blank(text: str, at: int) -> int:
    while text[at : at + 1] in _BLANKS:
        at += 1
    return at


_BLANKS: Final = frozenset(" \t\r\n")
_JSON: Final = json.JSONDecoder()


def _json_entry(text: str, form: Form) -> bytes:
    try:
        decoded = json_text.decode(text)
    except json_text.TooDeepError as error:
        raise BodyError(str(error)) from error
    if decoded is None:
        raise _not_json(text)
    record = decoded.value
    if not isinstance(record, dict):
        raise BodyError(f"a record is an object, and this is none: {text.strip():.60}")
    whole = decoded.whole
    try:
        return _entry(record if whole else record | {ORIGINAL: text}, form)
    except OverflowError:
        shown = _shown(record)
        assert isinstance(shown, dict)
        return _entry(shown | {ORIGINAL: text}, form)


def _not_json(text: str) -> BodyError:
    try:
        json.loads(text)
    except ValueError as error:
        return BodyError(f"not JSON: {error}")
    return BodyError("not JSON")


def _too_deep() -> BodyError:
    return BodyError(f"more than {json_text.MAX_DEPTH} levels of objects and arrays")


def _entry(record: dict[str, Json], form: Form) -> bytes:
    time_ns = form.time_ns
    if time_ns is None:
        time_ns = seconds_to_ns(record.get(form.time_key))
        if time_ns is not None and not form.keep_time_key:
            record = {key: value for key, value in record.items() if key != form.time_key}
    return packed(time_ns or 0, {**record, **form.extra})


def _shown(value: Json) -> Json:
    """The value with integers beyond 64 bits as text."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        return str(value)
    return value


# msgpack


def _packed_records(body: bytes) -> Iterator[bytes]:
    """The bytes of each map."""
    if not body:
        raise BodyError("not msgpack: an empty body")
    unpacker = _unpacker(body)
    if body[0] not in _ARRAYS:
        raw = _walked(unpacker, body)
        if len(raw) < len(body):
            raise BodyError(f"not msgpack: something follows the record at byte {len(raw)}")
        yield raw
        return
    try:
        count = unpacker.read_array_header()
    except (ValueError, msgpack.UnpackException) as error:
        raise BodyError(f"not msgpack: {error or type(error).__name__}") from error
    for _ in range(count):
        yield _walked(unpacker, body)
    if unpacker.tell() < len(body):
        raise BodyError(f"not msgpack: something follows the array at byte {unpacker.tell()}")


def _walked(unpacker: msgpack.Unpacker, body: bytes) -> bytes:
    """Skips one value and returns its bytes."""
    start = unpacker.tell()
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        raise BodyError("not msgpack: it ends too soon") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise BodyError(f"not msgpack: {error or type(error).__name__} at byte {start}") from error
    return body[start : unpacker.tell()]


def _packed_entry(raw: bytes, form: Form) -> bytes:
    if raw[0] not in _MAPS:
        raise BodyError(f"a record is a map, and this is none (first byte 0x{raw[0]:02x})")
    time_ns = form.time_ns
    begin = end = 0
    if time_ns is None and (found := _time_pair(raw, form.time_key)):
        time_ns, begin, end = found
        if form.keep_time_key:
            begin = end = 0
    if end or form.extra:
        unpacker = _unpacker(raw)
        pairs = unpacker.read_map_header() - (1 if end else 0) + len(form.extra)
        start = unpacker.tell()
        kept = raw[start:begin] + raw[end:] if end else raw[start:]
        added = b"".join(msgpack.packb(text) for pair in form.extra.items() for text in pair)
        raw = msgpack.Packer().pack_map_header(pairs) + kept + added
    return _PAIR + packed_time(time_ns or 0) + raw


def _time_pair(raw: bytes, time_key: str) -> tuple[int, int, int] | None:
    """The time that a record's field gives, and from where to where its key and value lie; None if it gives none."""
    key = msgpack.packb(time_key)
    if key not in raw:
        return None
    unpacker = _unpacker(raw)
    for _ in range(unpacker.read_map_header()):
        start = unpacker.tell()
        unpacker.skip()
        middle = unpacker.tell()
        unpacker.skip()
        end = unpacker.tell()
        if raw[start:middle] == key and end - middle <= _LONGEST_TIME:
            time_ns = _packed_seconds(raw[middle:end])
            return None if time_ns is None else (time_ns, start, end)
    return None


def _packed_seconds(raw: bytes) -> int | None:
    try:
        return seconds_to_ns(msgpack.unpackb(raw, strict_map_key=False))
    except (ValueError, TypeError, msgpack.UnpackException):
        return None


def _unpacker(raw: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    unpacker.feed(raw)
    return unpacker
