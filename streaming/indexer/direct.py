"""Bulk items of canonical logs, put together as text: what nearly every record of a busy topic is.

What a batch shares is written once: of a partition its name, of an accumulator's chunk its coordinates, receive time
and index. The rest comes from canonical_ecs.py. What is unusual in any way gives None and goes the careful way
(prepare.py), which makes the same item of it (tests/unit/streaming/indexer/test_direct.py compares them).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import Message

from streaming.events import canonical_ecs, coordinates
from streaming.events.ecs import date_text
from streaming.indexer.shapes import Shapes

LineOf = Callable[[int], bytes | None]
"""Beginning of a bulk item of a receive time (ns); None where there is no index for it."""


class _Chunk(NamedTuple):
    """What the documents of one chunk of an accumulator begin with, as text."""

    received_ns: int
    line: str
    event: str
    vigil: str


_UNUSABLE: Final = _Chunk(0, "", "", "")


class Direct:
    """Makes the items of one batch, of records of one topic."""

    def __init__(self, line_of: LineOf, ingested_ns: int, shapes: Shapes | None) -> None:
        self._line_of = line_of
        self._shapes = shapes
        self._ingested = date_text(ingested_ns)
        self._chunks: dict[tuple[bytes, ...], _Chunk] = {}
        self._partitions: dict[int, str] = {}

    def item(self, message: Message, value: bytes, name: str, partition: int, offset: int) -> bytes | None:
        """The record's item; None if it must go the careful way. `name` is the `content_id` of its `value`."""
        headers = message.headers()
        if not isinstance(headers, list) or len(headers) != 1:
            return None
        header, at = headers[0]
        if header != coordinates.HEADER or not isinstance(at, bytes) or at.count(b":") < _COLONS:
            return None
        accumulator, incarnation, sequence, position, received, event_ns, tag = at.split(b":", _COLONS)
        key = (accumulator, incarnation, sequence, received, tag)
        chunk = self._chunks.get(key) or self._read_chunk(key)
        number = _number(position)
        if chunk is _UNUSABLE or number is None or not (event_ns.isdigit() and len(event_ns) < _DIGITS):
            return None
        kafka = self._partitions.get(partition) or self._read_partition(message, partition)
        vigil = f'{chunk.vigil}{number}","position":{number},"kafka":{{{kafka}{offset}}}'
        found = canonical_ecs.document(value, chunk.event, vigil)
        if found is None:
            return None
        document, text = found
        mark = "" if self._shapes is None else f',"fingerprint":"{self._shapes.name(text, chunk.received_ns)}"'
        return f'{chunk.line}{name}"}}}}\n{document}{mark}}}}}\n'.encode()

    def _read_chunk(self, key: tuple[bytes, ...]) -> _Chunk:
        chunk = self._chunks[key] = self._chunk(*key)
        return chunk

    def _chunk(self, accumulator: bytes, incarnation: bytes, sequence: bytes, received: bytes, tag: bytes) -> _Chunk:
        try:
            found = coordinates.decode(b":".join((accumulator, incarnation, sequence, b"0", received, b"0", tag)))
            name, source = _text(found.accumulator), _text(f"{found.accumulator}.{found.incarnation}:{found.sequence}:")
        except ValueError:  # no coordinates; or a lone surrogate, which the careful way makes readable
            return _UNUSABLE
        line = self._line_of(found.received_ns)
        if line is None:
            return _UNUSABLE
        created = date_text(found.received_ns)
        return _Chunk(
            found.received_ns,
            line.decode(),
            f'"created":"{created}","ingested":"{self._ingested}"',
            f'"dialect":"canonical","time_source":"event","accumulator":{name},"sequence":{found.sequence},'
            f'"source":{source[:-1]}',
        )

    def _read_partition(self, message: Message, partition: int) -> str:
        text = f'"topic":{_text(message.topic() or "")},"partition":{partition},"offset":'
        self._partitions[partition] = text
        return text


_COLONS: Final = len(coordinates.Coordinates._fields) - 1
_DIGITS: Final = 20
"""Of 64 bits; nobody writes more, and Python takes its time over thousands of them."""


@lru_cache(maxsize=65_536)  # positions in a chunk, over and over: 6 MB
def _number(digits: bytes) -> str | None:
    """A number that 63 bits hold, without leading zeroes; None for anything else."""
    return str(int(digits)) if digits.isdigit() and len(digits) < _DIGITS - 1 else None


def _text(text: str) -> str:
    return msgspec.json.encode(text).decode()
