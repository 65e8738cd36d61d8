"""Entries `[time, record]` of the Forward protocol, made of what comes by other protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgpack

from streaming.forward import event_time

MIB = 1024 * 1024
PACKED_LIMIT: Final = 64 * MIB
"""Bytes of all entries of a request: what each repeats (its resource, the request's headers) must not make a small body
a huge chunk."""
EVENTS_LIMIT: Final = 100_000
"""Of a request: at 10 to 20 us each a second or two, in which its thread does nothing else. Shippers send hundreds or
thousands."""
_END_NS: Final = 2**32 * 1_000_000_000
"""EventTime has 32 bits of seconds."""
NO_TIME: Final = 0
"""In the place of a time that nobody gave. The receive time, which is in the chunk's header, then stands in; written
into the entry it would make a resend differ from what it repeats."""


class TooMuchError(ValueError):
    """A request that is well-formed, and too large to be taken whole; the text says in what."""


class Entries(NamedTuple):
    """Entries `[time, record]` as a chunk holds them."""

    body: bytes
    events: int


def joined(entries: Iterable[bytes]) -> Entries:
    """The entries of a request.

    Raises:
        TooMuchError: more than `EVENTS_LIMIT`, or of more than `PACKED_LIMIT` bytes.
    """
    parts: list[bytes] = []
    size = 0
    for entry in entries:
        parts.append(entry)
        size += len(entry)
        if len(parts) > EVENTS_LIMIT or size > PACKED_LIMIT:
            raise TooMuchError(f"more than {EVENTS_LIMIT} events, or {PACKED_LIMIT} bytes of them; send them in parts")
    return Entries(b"".join(parts), len(parts))


def has_event_time(time_ns: int) -> bool:
    """Whether an EventTime can hold it: from 1970 to February 2106."""
    return 0 < time_ns < _END_NS


def packed_time(time_ns: int) -> bytes:
    """A time as an entry begins with it; `NO_TIME` where it has none, or one that an EventTime cannot hold."""
    found: bytes = msgpack.packb(event_time.encode(time_ns) if has_event_time(time_ns) else NO_TIME)
    return found


def packed(time_ns: int, record: Mapping[str, object]) -> bytes:
    """One entry. Lone surrogates stand for the bytes that were no UTF-8 (`surrogateescape`) and are these bytes again.

    Raises:
        ValueError: nested deeper than msgpack packs (511), or a surrogate that stands for no byte.
        OverflowError: an integer beyond 64 bits.
    """
    found: bytes = _PAIR + packed_time(time_ns) + msgpack.packb(record, unicode_errors="surrogateescape")
    return found


_PAIR: Final = b"\x92"
