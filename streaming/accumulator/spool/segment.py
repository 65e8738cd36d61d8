"""How chunks lie in a segment of the spool: a checked header, label, tag, the sender's id, the chunk as it came."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streaming.accumulator.spool.losses import Loss

MAGIC = b"VGC2"
_HEADER = struct.Struct(">4sIIIQQQIHHBB")
"""Magic; CRC-32 of what follows in the header and of the names; CRC-32 and length of the body; sequence; receive
time in ns; events of the incarnation before this chunk; events; lengths of tag, id and label; flags. The names
follow: tag, id, label."""
_Fields = tuple[bytes, int, int, int, int, int, int, int, int, int, int, int]
_CHECKED_FROM = 8
"""The header's own check begins behind the magic and itself."""
_GZIP = 1
SMALLEST = _HEADER.size
"""No chunk takes less in a segment."""

READ_AT_ONCE = 1024 * 1024
SUFFIX = ".segment"


class Arrived(NamedTuple):
    """A chunk as received. `chunk_id` is empty where its sender gave none."""

    tag: str
    body: bytes
    events: int
    gzip: bool
    chunk_id: bytes
    received_ns: int
    label: str = ""
    """Where its source sends it; empty: the top level."""
    flow: str = ""
    """Within which its order is kept, and which takes turns with others at admission; empty: its tag's."""


class Stored(NamedTuple):
    """A chunk as spooled. `end` is the offset behind it in its segment, `size` its length with its header.

    One with `lost` stands for the sequences that are lost, under the last of them. It has no events and no body:
    nothing is to be sent for it, and it is reported as delivered in its turn like any other.
    """

    sequence: int
    received_ns: int
    events: int
    tag: str
    chunk_id: bytes
    label: str
    gzip: bool
    body: bytes
    end: int
    size: int
    events_before: int = 0
    """Of its incarnation. So what lies between two chunks can be counted though it cannot be read."""
    lost: Loss | None = None

    @property
    def events_to(self) -> int:
        """Events of the incarnation up to this chunk and with it."""
        return self.events_before + self.events

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was received; 0 where the clock was set back since."""
        return max(0, now_ns - self.received_ns) / 1e9


class Checked(NamedTuple):
    """A chunk with the CRC-32 of its body and its resend key: both want its every byte, so they are made once."""

    chunk: Arrived
    body_crc: int
    key: bytes


KEY_BYTES = 16
"""Length of a resend key: by chance two of a billion chunks have one key with probability 1e-21."""


def checked(chunk: Arrived) -> Checked:
    """What `Spool.append_checked` takes."""
    body_crc = zlib.crc32(chunk.body)
    return Checked(chunk, body_crc, _resend_key(chunk, body_crc))


def resend_key(chunk: Arrived | Stored) -> bytes:
    """What a resend has in common with the chunk that it repeats; empty where the sender gave no id.

    The id alone is not enough: senders that count from 1, or make the id of the content whatever its tag, give two
    chunks one id, and the second would be acknowledged and dropped.
    """
    return _resend_key(chunk, zlib.crc32(chunk.body)) if chunk.chunk_id else b""


def _resend_key(chunk: Arrived | Stored, body_crc: int) -> bytes:
    if not chunk.chunk_id:
        return b""
    tag = chunk.tag.encode("utf-8", "surrogateescape")
    checks = b"%d %d %d " % (len(chunk.chunk_id), len(chunk.body), body_crc)
    return hashlib.blake2b(checks + chunk.chunk_id + tag, digest_size=KEY_BYTES).digest()


@dataclass(frozen=True)
class Damage:
    """Bytes from `start` to `end` hold no readable chunk. `events` counts those whose header could be read."""

    start: int
    end: int
    events: int


def name_of(first: int, incarnation: str) -> str:
    """A segment's name: its first sequence and its spool's incarnation."""
    return f"{first:016d}-{incarnation}{SUFFIX}"


def parse_name(name: str) -> tuple[int, str] | None:
    """First sequence and incarnation; None if the file is no segment."""
    first, dash, incarnation = name.removesuffix(SUFFIX).partition("-")
    if not name.endswith(SUFFIX) or not dash or not first.isdigit():
        return None
    return int(first), incarnation


def salt_of(incarnation: str) -> int:
    """Where header checks of a spool begin, so that what a sender puts into a body never passes for a header."""
    return zlib.crc32(incarnation.encode())


def encode(entry: Checked, sequence: int, events_before: int, salt: int) -> tuple[bytes, bytes]:
    """Header (with tag, id and label) and body, to be written one behind the other."""
    arrived = entry.chunk
    tag = arrived.tag.encode("utf-8", "surrogateescape")
    label = arrived.label.encode()
    fields = (
        entry.body_crc,
        len(arrived.body),
        sequence,
        arrived.received_ns,
        events_before,
        arrived.events,
        len(tag),
        len(arrived.chunk_id),
        len(label),
        _GZIP if arrived.gzip else 0,
    )
    names = tag + arrived.chunk_id + label
    unchecked = _HEADER.pack(MAGIC, 0, *fields)
    check = zlib.crc32(names, zlib.crc32(unchecked[_CHECKED_FROM:], salt))
    return _HEADER.pack(MAGIC, check, *fields) + names, arrived.body


class Walker:
    """Walks the chunks of one segment in order, reading large pieces. `read(offset, length)` gives its bytes."""

    def __init__(self, read: Callable[[int, int], bytes], salt: int, start: int = 0) -> None:
        self._read, self._salt = read, salt
        self._piece = b""
        self._piece_at = start
        self.offset = start

    def next(self, length: int) -> Stored | Damage | None:
        """The chunk at `offset`, or the damage there; None when no whole chunk lies before `length`.

        `offset` moves on behind what is returned.
        """
        header = self._header(self.offset, length)
        if header is None:
            return self._damage(length)
        whole, fields = header
        if self.offset + whole > length:
            return self._damage(length)
        raw = self._bytes(self.offset, whole, length)
        _, _, crc, body_length, sequence, received_ns, before, events, tag_length, id_length, _, flags = fields
        start, self.offset = self.offset, self.offset + whole
        body_at = whole - body_length
        body = raw[body_at:]
        if zlib.crc32(body) != crc:
            return Damage(start, self.offset, events)
        tag_end = _HEADER.size + tag_length
        tag = raw[_HEADER.size : tag_end].decode("utf-8", "surrogateescape")
        gzip = bool(flags & _GZIP)
        id_end = tag_end + id_length
        chunk_id, label = raw[tag_end:id_end], raw[id_end:body_at].decode("utf-8", "replace")
        return Stored(sequence, received_ns, events, tag, chunk_id, label, gzip, body, self.offset, whole, before)

    def rest(self, length: int) -> Iterator[Stored | Damage]:
        """Everything readable up to `length`; `offset` is then where the readable part ends."""
        while (found := self.next(length)) is not None:
            yield found

    def _header(self, offset: int, length: int) -> tuple[int, _Fields] | None:
        raw = self._bytes(offset, _HEADER.size, length)
        if len(raw) < _HEADER.size or not raw.startswith(MAGIC):
            return None
        fields: _Fields = _HEADER.unpack(raw)
        names_length = sum(fields[8:11])
        names = self._bytes(offset + _HEADER.size, names_length, length)
        if zlib.crc32(names, zlib.crc32(raw[_CHECKED_FROM:], self._salt)) != fields[1]:
            return None
        return _HEADER.size + names_length + fields[3], fields

    def _damage(self, length: int) -> Damage | None:
        """From here to the next chunk that can be read whole; None if there is none."""
        start, at = self.offset, self.offset + 1
        while at < length:
            piece = self._bytes(at, READ_AT_ONCE, length)
            found = piece.find(MAGIC)
            while found >= 0:
                header = self._header(at + found, length)
                if header and at + found + header[0] <= length:
                    self.offset = at + found
                    return Damage(start, self.offset, 0)
                found = piece.find(MAGIC, found + 1)
            at += max(1, len(piece) - len(MAGIC) + 1)
        return None

    def _bytes(self, offset: int, count: int, length: int) -> bytes:
        """Up to `count` bytes from `offset`, none of them behind `length`."""
        count = min(count, length - offset)
        if count <= 0:
            return b""
        begin = offset - self._piece_at
        if begin < 0 or begin + count > len(self._piece):
            self._piece = self._read(offset, min(max(count, READ_AT_ONCE), length - offset))
            self._piece_at, begin = offset, 0
        return self._piece[begin : begin + count]
