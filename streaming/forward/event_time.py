"""EventTime of the Forward protocol: extension type 0, seconds and nanoseconds as two big-endian 32-bit integers.

Source: fluent/fluentd wiki, "Forward Protocol Specification v1", section "EventTime Ext Format".
"""

from __future__ import annotations

import struct

import msgpack

EXT_TYPE = 0
_FORMAT = struct.Struct(">II")
_NS = 1_000_000_000


def encode(time_ns: int) -> msgpack.ExtType:
    """Nanoseconds since the epoch as an EventTime, good until 2106 (32 bits of seconds)."""
    seconds, nanoseconds = divmod(time_ns, _NS)
    return msgpack.ExtType(EXT_TYPE, _FORMAT.pack(seconds & 0xFFFFFFFF, nanoseconds))


def decode(value: object) -> int:
    """Nanoseconds from an EventTime, or from the integer or float seconds that older clients send.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, msgpack.ExtType) and value.code == EXT_TYPE and len(value.data) == _FORMAT.size:
        seconds, nanoseconds = _FORMAT.unpack(value.data)
        return int(seconds) * _NS + int(nanoseconds)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * _NS
    if isinstance(value, float) and abs(value) < 1e11:
        return int(value * _NS)
    raise ValueError(f"not a time of the Forward protocol: {value!r:.80}")
