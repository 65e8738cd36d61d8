"""Takes a TCP connection's bytes apart into syslog messages (RFC 6587). Pure; how the bytes were cut does not matter.

Framing is by line feeds (3.4.2), or, where `octet_count` is set, by a length before each message (3.4.1); senders mix
the two, so there a frame that does not begin with a length is taken as a line. A message longer than the limit comes
in pieces: nothing is dropped, and no more than one piece is held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_LENGTH: Final = re.compile(rb"([1-9]\d{0,8}) ")
_LENGTH_BEGUN: Final = re.compile(rb"[1-9]\d{0,8}\Z")


class Piece(NamedTuple):
    """A message, or a part of one: all but the first part of a message are `continued`."""

    raw: bytes
    continued: bool


class SyslogDecoder:
    """Incremental: `feed` bytes as they come, get what is complete; `finish` when no more come."""

    def __init__(self, limit: int, *, octet_count: bool) -> None:
        self._limit, self._octet_count = limit, octet_count
        self._bytes = bytearray()
        self._left = 0
        """Bytes that an octet-counted message still has to come."""
        self._continued = False

    @property
    def unfinished(self) -> int:
        """Bytes held of a message that is not whole."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Messages and parts completed by `data`, in order."""
        self._bytes += data
        while (piece := self._next()) is not None:
            if piece.raw:
                yield piece

    def finish(self) -> Iterator[Piece]:
        """What the connection's end left incomplete."""
        raw, self._bytes = bytes(self._bytes), bytearray()
        if raw:
            yield Piece(raw, self._continued)

    def _next(self) -> Piece | None:
        if not self._bytes:
            return None
        if not self._left and not self._continued and self._octet_count and not self._read_length():
            return None
        return self._counted() if self._left else self._line()

    def _read_length(self) -> bool:
        """Takes a length off; false while it has not come whole. Without one the frame is a line."""
        head = bytes(self._bytes[:10])
        if found := _LENGTH.match(head):
            self._left = int(found[1])
            del self._bytes[: found.end()]
            return bool(self._bytes)
        return not _LENGTH_BEGUN.match(head)

    def _counted(self) -> Piece | None:
        size = min(self._left, self._limit)
        if len(self._bytes) < size:
            return None
        self._left -= size
        return self._cut(size, size, more=self._left > 0)

    def _line(self) -> Piece | None:
        end = self._bytes.find(b"\n", 0, self._limit + 1)
        if end >= 0:
            return self._cut(end, end + 1, more=False)
        if len(self._bytes) <= self._limit:
            return None
        return self._cut(self._limit, self._limit, more=True)

    def _cut(self, size: int, taken: int, *, more: bool) -> Piece:
        piece = Piece(bytes(self._bytes[:size]), self._continued)
        del self._bytes[:taken]
        self._continued = more
        return piece
