"""From a chunk's bytes to its events: time, record, and the JSON text that goes to Kafka.

What JSON cannot say is said as near as it can be (bytes that are no UTF-8 with U+FFFD, NaN and infinities and
extension types as text, keys as text), and the event as it came is then kept whole, base64 of its msgpack, under
`ORIGINAL`. So nothing is lost, and what reads the record still finds its fields. Two things go without that mark,
as in Fluentd: binary that is UTF-8 becomes text, and of a key that a record holds twice the last counts.
The same chunk gives the same bytes every time.
"""

from __future__ import annotations

import base64
import heapq
import json
import math
import re
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

import msgpack
import msgspec
import orjson

from streaming.events.fields import MAX_DATE_NS, MIN_DATE_NS
from streaming.events.model import Json
from streaming.forward import event_time
from streaming.forward.walk import VALUES_LIMIT, has_too_many_values

ORIGINAL = "vigil_original_msgpack"

DEPTH_LIMIT = 100
"""Deeper values become text; Elasticsearch takes 20 levels, orjson 254."""


FED_AT_ONCE = 256 * 1024
"""Bytes in which the ends of entries are looked for at once: a chunk may have 64 MiB, and the search copies them."""

_PAIR_WITH_EVENT_TIME = b"\x92\xd7\x00"
"""How [EventTime, record] begins, as every client packs it: seconds and nanoseconds follow, then the record."""
_TIME_AT, _RECORD_AT = 3, 11
_SECONDS_AND_NANOSECONDS = struct.Struct(">II").unpack_from
_NONE = sys.maxsize
"""An offset behind every chunk."""

MALFORMED, TOO_MANY_VALUES = "malformed-event", "too-many-values"


class Event(NamedTuple):
    """One event. `time_ns` is 0 where the sender gave none that can be read; `value` is `record` as JSON."""

    time_ns: int
    record: dict[str, Json]
    value: bytes


class Broken(NamedTuple):
    """An entry that is no [time, record], or one of too many values; `raw` is its msgpack."""

    raw: bytes
    reason: str = MALFORMED


def calendar_ns(time_ns: int, received_ns: int) -> int:
    """An event's time where a date is made of it: when it was received, if it has none or one that no date can say.

    Senders may write any whole number for a time; the years of 10**18 seconds have no name.
    """
    return time_ns if time_ns and MIN_DATE_NS <= time_ns <= MAX_DATE_NS else received_ns


Plain = tuple[int, dict[str, "Json"], bytes]
"""An `Event` as a bare tuple, of which making costs a fifth."""


def read_events(body: bytes) -> Iterator[Event | Broken]:
    """As `read_entries`, with names."""
    for entry in read_entries(body):
        yield entry if isinstance(entry, Broken) else Event(*entry)


def read_entries(body: bytes) -> Iterator[Plain | Broken]:
    """The entries of a chunk, in order, one at a time. `body` is known to be well-formed msgpack.

    Built all at once, 64 MiB of the smallest values take 3.5 GB: so entries are built one by one, and one of more than
    `VALUES_LIMIT` values is not built, but `Broken`.
    """
    ends = msgpack.Unpacker(max_buffer_size=0)
    skip, tell, view, fed = ends.skip, ends.tell, memoryview(body), 0
    specials = _specials(body)
    special = next(specials, _NONE)
    entry: Plain | Broken
    start = end = 0
    while True:
        try:
            skip()
        except msgpack.OutOfData:
            if fed >= len(body):
                return
            ends.feed(view[fed : fed + FED_AT_ONCE])
            fed += FED_AT_ONCE
            continue
        except (ValueError, msgpack.UnpackException):
            break  # nested too deep for it
        start, end = end, tell()
        if special < end or (end - start > VALUES_LIMIT and has_too_many_values(body, start, end)):
            while special < end:
                special = next(specials, _NONE)
            yield _carefully(body[start:end])
            continue
        try:
            if body.startswith(_PAIR_WITH_EVENT_TIME, start):
                seconds, nanoseconds = _SECONDS_AND_NANOSECONDS(body, start + _TIME_AT)
                time_ns = seconds * 1_000_000_000 + nanoseconds
                record = _unpack(body[start + _RECORD_AT : end])
            else:
                time, record = _unpack(body[start:end])
                time_ns = event_time.decode(time)
            if record.__class__ is dict:
                entry = time_ns, record, _dumps(record, None, _OPTIONS)
            else:
                entry = _carefully(body[start:end])
        except (TypeError, ValueError, RecursionError):
            entry = _carefully(body[start:end])
        yield entry
    yield from map(_carefully, _raw_entries(body, end))


_unpack = msgspec.msgpack.Decoder().decode
"""What it makes of binaries, extensions, times (as `datetime`) and keys that are no text, `_dumps` refuses; then the
careful way is taken."""
_dumps = orjson.dumps
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def _carefully(raw: bytes) -> Plain | Broken:
    found = _read_carefully(raw)
    return found if isinstance(found, Broken) else (found.time_ns, found.record, found.value)


_SPECIAL = re.compile(rb"[\xca\xcb][\x7f\xff]")
_LOOKS = 1_000


def _specials(body: bytes) -> Iterator[int]:
    """Offsets that may hold a NaN or an infinity, which orjson writes as null without a word.

    0xCA and 0xCB are msgpack's floats, and an exponent of all ones begins with 0x7F or 0xFF. Such pairs come by chance,
    too: in one of 5,000 times with nanoseconds.
    """
    return heapq.merge(_pairs(body, b"\xca"), _pairs(body, b"\xcb"))


def _pairs(body: bytes, code: bytes) -> Iterator[int]:
    """Finding one byte that is rare costs a tenth of finding a pair (which takes 1 us for each event of 280 bytes); a
    chunk that has it often is searched for pairs."""
    at = body.find(code)
    for _ in range(_LOOKS):
        if at < 0:
            return
        if body[at + 1 : at + 2] in (b"\x7f", b"\xff"):
            yield at
        at = body.find(code, at + 1)
    if at >= 0:
        yield from (found.start() for found in _SPECIAL.finditer(body, at) if body[found.start()] == code[0])


def _time_ns(time: object) -> int:
    try:
        return event_time.decode(time)
    except ValueError:
        return 0


def _raw_entries(body: bytes, start: int) -> Iterator[bytes]:
    """From offset `start` on; from where msgpack cannot walk further, the rest as one."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(memoryview(body)[start:])
    at = start
    while at < len(body):
        try:
            unpacker.skip()
        except msgpack.StackError:
            yield body[at:]
            return
        end = start + unpacker.tell()
        yield body[at:end]
        at = end


def _read_carefully(raw: bytes) -> Event | Broken:
    if has_too_many_values(raw, 0, len(raw)):
        return Broken(raw, TOO_MANY_VALUES)
    try:
        time, record = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogateescape")
    except (ValueError, TypeError, msgpack.UnpackException):
        return Broken(raw)
    if not isinstance(record, dict):
        return Broken(raw)
    exact, said = _say(record, 0)
    assert isinstance(said, dict)
    if not exact:
        said[ORIGINAL] = base64.b64encode(raw).decode()
    return Event(_time_ns(time), said, orjson.dumps(said))


def _say(value: object, depth: int) -> tuple[bool, Json]:
    """Whether JSON can say it, and what it says."""
    if value is None or isinstance(value, bool | int):
        return True, value
    if isinstance(value, str):
        return _say_text(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return _say_text(value)
    if isinstance(value, float):
        return (True, value) if math.isfinite(value) else (False, str(value))
    if depth >= DEPTH_LIMIT:
        return False, f"more than {DEPTH_LIMIT} levels deep"
    if isinstance(value, list):
        items = [_say(item, depth + 1) for item in value]
        return all(exact for exact, _ in items), [said for _, said in items]
    if isinstance(value, dict):
        return _say_map(value, depth)
    return False, str(value)


def _say_text(raw: bytes) -> tuple[bool, str]:
    try:
        return True, raw.decode()
    except UnicodeDecodeError:
        return False, raw.decode("utf-8", "replace")


def _say_map(value: dict[object, object], depth: int) -> tuple[bool, Json]:
    exact, said = True, {}
    for key, item in value.items():
        name_exact, name = _say_text(key.encode("utf-8", "surrogateescape")) if isinstance(key, str) else _say_key(key)
        item_exact, said[name] = _say(item, depth + 1)
        exact = exact and name_exact and item_exact
    return exact and len(said) == len(value), said


def _say_key(key: object) -> tuple[bool, str]:
    if isinstance(key, bytes):
        return False, key.decode("utf-8", "replace")
    return False, json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)
