"""Takes a connection's bytes apart into frames of the Forward protocol, without building the events.

Source: fluent/fluentd wiki, "Forward Protocol Specification v1", sections "Message", "Forward",
"PackedForward" and "CompressedPackedForward" modes. Events stay the bytes that came, so that a receiver can
write them to disk in one piece; `events_of` decodes them later.

The handshake (HELO, PING, PONG) precedes the first frame; a receiver that asks for one reads those three with
an `Unpacker` of its own and hands what follows to `FrameDecoder`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import msgpack

from streaming.forward.walk import Malformed, Walk

MIB = 1024 * 1024
FRAME_LIMIT = 16 * MIB
"""Largest frame taken, and so what one connection can make this process hold. Senders cut chunks at 8 MiB
(Fluentd's default `chunk_limit_size` for memory buffers; Fluent Bit sends 2 MiB)."""
INFLATED_LIMIT = 64 * MIB
"""Largest a compressed frame may become. Logs compress about tenfold; beyond is an error or an attack."""
CHUNK_ID_LIMIT = 256
"""Longest `chunk` option in bytes; Fluentd and Fluent Bit send 24 characters."""
TAG_LIMIT = 1024
"""Longest tag in characters."""
OPTIONS_LIMIT = 4096
"""Most bytes of options. They alone are built as objects here, and a byte of msgpack can become sixty."""


class FrameError(Exception):
    """The bytes are not a frame, or one past the limits; the connection cannot be read any further.

    `reason` is a short constant that metrics select by; the text is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Frame:
    """One frame. `body` is a stream of msgpack entries `[time, record]` as they came (gzip'd where `gzip`).

    `chunk` is the sender's id for it, as it was typed (str or bytes), where it asks for an acknowledgement.
    """

    tag: str
    body: bytes
    events: int
    gzip: bool = False
    chunk: str | bytes | None = None

    @property
    def chunk_id(self) -> bytes:
        """The chunk id as bytes; empty where there is none."""
        return self.chunk if isinstance(self.chunk, bytes) else (self.chunk or "").encode("utf-8", "surrogateescape")


def acknowledgement(chunk: str | bytes) -> bytes:
    """What answers a frame that had this `chunk`, once it is durable."""
    packed: bytes = msgpack.packb({"ack": chunk}, unicode_errors="surrogateescape")
    return packed


class FrameDecoder:
    """Incremental: `feed` bytes as they come, get the frames that are complete.

    Holds at most one frame (`limit` bytes) and what was fed last. After a `FrameError` it must not be used again.
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._read = 0
        # The unpacker only finds where a frame ends (it skips, and keeps its place in an unfinished frame).
        self._boundaries = _boundaries()
        self._deep: Walk | None = None
        """Takes the place of `_boundaries` in a frame nested deeper than that can skip."""

    @property
    def unfinished(self) -> int:
        """Bytes held of a frame that is not whole."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames completed by `data`, in order.

        Raises:
            FrameError: malformed, or larger than the limit.
        """
        self._bytes += data
        if self._deep is None:
            self._boundaries.feed(data)
        while (raw := self._next()) is not None:
            frame = decode(raw)
            if frame is not None:
                yield frame

    def _next(self) -> bytes | None:
        length = self._length_of_deep(self._deep) if self._deep else self._length()
        if length is None:
            if len(self._bytes) > self._limit:
                _refuse("frame-too-large", f"more than {self._limit} bytes")
            return None
        if length > self._limit:
            _refuse("frame-too-large", f"{length} bytes of {self._limit}")
        raw = bytes(memoryview(self._bytes)[:length])
        del self._bytes[:length]
        if self._deep:
            self._deep, self._read, self._boundaries = None, 0, _boundaries()
            self._boundaries.feed(self._bytes)
        return raw

    def _length(self) -> int | None:
        """Of the frame that `_bytes` begins with; None while it is not whole."""
        try:
            self._boundaries.skip()
        except msgpack.OutOfData:
            return None
        except msgpack.StackError:
            self._deep = Walk()
            return self._length_of_deep(self._deep)
        except (ValueError, msgpack.UnpackException) as error:
            raise FrameError("not-msgpack", str(error) or type(error).__name__) from error
        end = int(self._boundaries.tell())
        length, self._read = end - self._read, end
        return length

    def _length_of_deep(self, walk: Walk) -> int | None:
        try:
            return walk.at if walk.advance(self._bytes) else None
        except Malformed as error:
            raise FrameError("not-msgpack", str(error)) from error


def _boundaries() -> msgpack.Unpacker:
    return msgpack.Unpacker(max_buffer_size=0, raw=True, strict_map_key=False)


def decode(raw: bytes) -> Frame | None:
    """One whole frame; None for nil, which old clients send as a sign of life.

    Raises:
        FrameError: it is none of the four modes.
    """
    if raw == b"\xc0":
        return None
    try:
        return _decode(raw)
    except msgpack.OutOfData as error:
        raise FrameError("malformed-frame", "it ends too soon") from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise FrameError("malformed-frame", str(error) or type(error).__name__) from error


def _decode(raw: bytes) -> Frame:
    if raw[0] not in _ARRAYS:
        _refuse("malformed-frame", "it is no array")
    unpacker = _unpacker(raw)
    fields = unpacker.read_array_header()
    if not 2 <= fields <= 4:
        _refuse("malformed-frame", f"an array of {fields}, not 2 to 4")
    if raw[unpacker.tell()] not in _RAWS:
        _refuse("malformed-frame", "it does not begin with a tag")
    tag = _tag(unpacker.unpack())
    start = unpacker.tell()
    first = raw[start]
    if first in _ARRAYS:
        entries = unpacker.read_array_header()
        start = unpacker.tell()
        end, deep = _end_of(raw, unpacker, entries)
        body = raw[start:end]
        return _with_options(raw[end:], tag, body, count(body) if deep else entries, fields - 2)
    if first in _RAWS:
        packed = unpacker.unpack()
        if isinstance(packed, str):
            packed = packed.encode("utf-8", "surrogateescape")
        return _with_options(raw[unpacker.tell() :], tag, packed, None, fields - 2)
    if fields < 3:
        _refuse("malformed-frame", "neither a list of events nor a time and a record follow the tag")
    end, _ = _end_of(raw, unpacker, 2)
    return _with_options(raw[end:], tag, _PAIR + raw[start:end], 1, fields - 3)


def _end_of(raw: bytes, unpacker: msgpack.Unpacker, objects: int) -> tuple[int, bool]:
    """The offset behind the next `objects`, and whether one of them is nested too deep for `unpacker`.

    Such a frame is taken (its sender would come back with it for ever), and what can be read of it is.
    """
    start = int(unpacker.tell())
    try:
        for _ in range(objects):
            unpacker.skip()
    except msgpack.StackError:
        walk = Walk(objects, start)
        walk.advance(raw)
        return walk.at, True
    return unpacker.tell(), False


def _with_options(raw: bytes, tag: str, body: bytes, events: int | None, left: int) -> Frame:
    """Reads the options, if there are any, and counts the events of a packed body."""
    if left > 1:
        _refuse("malformed-frame", "more fields than the mode has")
    if len(raw) > OPTIONS_LIMIT:
        _refuse("malformed-frame", f"options of more than {OPTIONS_LIMIT} bytes")
    options = _unpacker(raw).unpack() if left else None
    if not isinstance(options, dict | None):
        _refuse("malformed-frame", "the options are not a map")
    options = options or {}
    compressed = options.get("compressed")
    if compressed in ("text", None, b"text"):
        gzip = False
    elif compressed in ("gzip", b"gzip") and events is None:
        gzip = True
    else:
        _refuse("unknown-compression", f"compressed: {compressed!r:.40}")
    if events is None:
        events = count(inflate(body) if gzip else body)
    return Frame(tag, body, events, gzip, _chunk(options.get("chunk")))


_INFLATE_AT_ONCE = 16 * 1024
"""A member that ends gives the rest of its piece back as a copy; Fluentd makes a member of each emit, so a chunk has
thousands, and the rest of a whole chunk each time would be a copy that grows with the square."""


def inflate(body: bytes, limit: int = INFLATED_LIMIT) -> bytes:
    """A gzip'd body, of one member or several, as the entries it holds.

    Raises:
        FrameError: not gzip, cut off, or larger than `limit`.
    """
    parts: list[bytes] = []
    room, at = limit, 0
    member = zlib.decompressobj(wbits=31)
    while at < len(body):
        if member.eof:
            member = zlib.decompressobj(wbits=31)
        piece = body[at : at + _INFLATE_AT_ONCE]
        try:
            part = member.decompress(piece, room + 1)
        except zlib.error as error:
            raise FrameError("malformed-gzip", str(error)) from error
        room -= len(part)
        if room < 0:
            _refuse("frame-too-large", f"more than {limit} bytes uncompressed")
        parts.append(part)
        at += len(piece) - len(member.unused_data)
    if body and not member.eof:
        _refuse("malformed-gzip", "it ends too soon")
    return b"".join(parts)


def count(body: bytes) -> int:
    """How many entries an (uncompressed) body holds; they are walked, not built.

    Raises:
        FrameError: it is not a whole number of msgpack objects.
    """
    unpacker = _unpacker(body)
    skip, tell, found, end = unpacker.skip, unpacker.tell, 0, 0
    try:
        while True:
            skip()
            found += 1
            end = tell()
    except msgpack.OutOfData:
        pass
    except msgpack.StackError:
        # Nested deeper than msgpack walks (1,024). Refused, its sender would come back with it for ever; so it and
        # what follows count as one, which whoever reads the chunk cannot read either and sets aside whole.
        return found + 1
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameError("malformed-entries", str(error) or type(error).__name__) from error
    if end != len(body):
        _refuse("malformed-entries", "the last one is cut off")
    return found


def _unpacker(raw: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(raw)
    return unpacker


def _tag(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    assert isinstance(value, str)
    if len(value) > TAG_LIMIT:
        _refuse("malformed-frame", f"the tag has more than {TAG_LIMIT} characters")
    return value


def _chunk(value: object) -> str | bytes | None:
    if value is not None and not isinstance(value, str | bytes):
        _refuse("malformed-frame", f"the chunk id is a {type(value).__name__}")
    if value is not None and len(value) > CHUNK_ID_LIMIT:
        _refuse("malformed-frame", f"the chunk id is longer than {CHUNK_ID_LIMIT}")
    return value or None


def _refuse(reason: str, detail: str) -> NoReturn:
    raise FrameError(reason, detail)


_PAIR = b"\x92"
_ARRAYS = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
_RAWS = frozenset((*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB))
"""First bytes of msgpack's arrays, and of its strings and binaries (old senders pack entries as a string)."""
