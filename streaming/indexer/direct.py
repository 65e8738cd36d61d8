"""Bulk items of canonical logs, put together as text: what nearly every record of a busy topic is.

What a batch shares is written once: of a partition its name, of an accumulator's chunk its coordinates, receive time
and index. What is unusual in any way gives None and goes the careful way (prepare.py), which makes the same item of it
(tests/unit/streaming/indexer/test_direct.py compares them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import Message

from streaming.events import canonical, coordinates
from streaming.events.canonical import QUOTES_OF_SEVEN
from streaming.events.canonical_ecs import NOTHING, extension, utc_text
from streaming.events.ecs import date_text
from streaming.indexer import identity
from streaming.indexer.lines import DayLines, Routes
from streaming.indexer.shapes import Shapes

LinesOf = Callable[[int], DayLines | None]
"""Beginnings of bulk items of a receive time (ns); None where there is no index for it."""


class _Chunk(NamedTuple):
    """What the documents of one chunk of an accumulator share: receive time, and as text what their items and two of
    their objects begin with. Where there are retention classes, `routes` holds what an item begins with."""

    received_ns: int
    line: str
    routes: Routes | None
    event: str
    vigil: str


_NO_CHUNK: Final = _Chunk(0, "", None, "", "")
"""Of coordinates that are none, or lead to no index: such records go the careful way."""


class Direct:
    """Makes the items of one batch, of records of one topic."""

    def __init__(self, lines_of: LinesOf, ingested_ns: int, shapes: Shapes | None) -> None:
        self._lines_of = lines_of
        self._shapes = shapes
        self._ingested = date_text(ingested_ns)
        self._chunks: dict[tuple[bytes, bytes, bytes], _Chunk] = {}

    def items(
        self, messages: Sequence[Message], values: Sequence[bytes], partitions: Sequence[int], offsets: Sequence[int]
    ) -> list[bytes | None]:
        """The item of each record; None for one that must go the careful way. All arguments lie side by side.

        One loop that calls next to nothing of Vigil's own: in parts, with a function for the coordinates and one for
        the document, it takes a fifth longer (docs/benchmarks.md).
        """
        made: list[bytes | None] = [None] * len(messages)
        escaped = b"\\" in b"".join(values)  # one look at all of them costs a tenth of a look at each
        kafka, shapes, number, utc = _partition_texts(messages, partitions), self._shapes, _number, utc_text
        head, its_received, its_tag, chunk = _NO_HEAD, b"", b"", _NO_CHUNK
        records = zip(messages, values, identity.content_ids(values), partitions, offsets, strict=True)
        for index, (message, value, name, partition, offset) in enumerate(records):
            headers = message.headers()
            if not isinstance(headers, list) or len(headers) != 1 or (escaped and b"\\" in value):
                continue
            header, at = headers[0]
            if header != coordinates.HEADER or not isinstance(at, bytes):
                continue
            if not at.startswith(head):  # the next record is mostly of the same chunk
                found = _HEAD.match(at)
                head, its_received = (found[0], b"") if found else (_NO_HEAD, b"")
            try:
                position, received, event_ns, tag = at[len(head) :].split(b":", 3)
            except ValueError:
                continue
            if received != its_received or tag != its_tag:
                its_received, its_tag = received, tag
                chunk = self._chunk(head, received, tag)
            digits = number(position)
            if chunk is _NO_CHUNK or digits is None or not event_ns.isdigit() or len(event_ns) >= _DIGITS:
                continue
            log = canonical.decode(value)
            if log is None:
                continue
            log_id, service, node, timestamp = log.log_id, log.service_name, log.node_id, utc(log.timestamp)
            if not (log_id and service and node and timestamp):
                continue
            quotes = value.count(b'"')
            beyond = NOTHING if quotes == QUOTES_OF_SEVEN else extension(log, quotes)
            if beyond is None:
                continue
            received_ns, line, routes, its_event, its_vigil = chunk
            if routes is not None:
                routed = routes[log.log_level, service]
                if routed is None:
                    continue
                line = routed
            own, top, event, vigil = beyond
            if shapes is not None:
                vigil = f'{vigil},"fingerprint":"{shapes.name(log.message, received_ns)}"'
            made[index] = (
                f'{line}{name}"}}}}\n{{"@timestamp":"{timestamp}","message":"{log.message}",'
                f'"log":{{"level":"{log.log_level}"{own}}},'
                f'"service":{{"name":"{service}","node":{{"name":"{node}"}}}}{top},'
                f'"event":{{{its_event}{event}}},'
                f'"vigil":{{{its_vigil}{digits}","position":{digits},"kafka":{{{kafka[partition]}{offset}}},'
                f'"log_id":"{log_id}"{vigil}}}}}\n'
            ).encode()
        return made

    def _chunk(self, head: bytes, received: bytes, tag: bytes) -> _Chunk:
        key = (head, received, tag)
        try:
            return self._chunks[key]
        except KeyError:
            chunk = self._chunks[key] = self._read_chunk(*key)
            return chunk

    def _read_chunk(self, head: bytes, received: bytes, tag: bytes) -> _Chunk:
        try:
            found = coordinates.decode(b"%b0:%b:0:%b" % (head, received, tag))
            name, source = _text(found.accumulator), _text(f"{found.accumulator}.{found.incarnation}:{found.sequence}:")
        except ValueError:  # no coordinates; or a lone surrogate, which the careful way makes readable
            return _NO_CHUNK
        lines = self._lines_of(found.received_ns)
        if lines is None or (lines.default is None and lines.routes is None):
            return _NO_CHUNK
        created = date_text(found.received_ns)
        return _Chunk(
            found.received_ns,
            lines.default or "",
            lines.routes,
            f'"created":"{created}","ingested":"{self._ingested}"',
            f'"dialect":"canonical","time_source":"event","accumulator":{name},"sequence":{found.sequence},'
            f'"source":{source[:-1]}',
        )


_HEAD: Final = re.compile(rb"[^:]*:[^:]*:[^:]*:")
"""Accumulator, incarnation and sequence, as coordinates begin with them."""
_NO_HEAD: Final = b":" * 4
"""None begin so: an accumulator has a name."""
_DIGITS: Final = 20
"""Of 64 bits; nobody writes more, and Python takes its time over thousands of them."""


def _partition_texts(messages: Sequence[Message], partitions: Sequence[int]) -> dict[int, str]:
    """Members of `vigil.kafka` for each partition, up to the offset."""
    some = dict(zip(partitions, messages, strict=True))
    return {p: f'"topic":{_text(m.topic() or "")},"partition":{p},"offset":' for p, m in some.items()}


@lru_cache(maxsize=65_536)  # positions in a chunk, over and over: 6 MB
def _number(digits: bytes) -> str | None:
    """A number that 63 bits hold, without leading zeroes; None for anything else."""
    return str(int(digits)) if digits.isdigit() and len(digits) < _DIGITS - 1 else None


def _text(text: str) -> str:
    return msgspec.json.encode(text).decode()
