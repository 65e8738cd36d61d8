"""Entries `[time, record]` of the Forward protocol, made of what comes by other protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgpack

from streaming.forward import event_time

_END_NS: Final = 2**32 * 1_000_000_000
"""EventTime has 32 bits of seconds."""
NO_TIME: Final = 0
"""In the place of a time that nobody gave. The receive time, which is in the chunk's header, then stands in; written
into the entry it would make a resend differ from what it repeats."""


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
