"""From the bytes of a followed file to entries of a chunk: where whole events end, and what each says. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgpack

from streaming.accumulator.configuration.parse import MultilineParse, Parse
from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.parsers.fields import Unparsed
from streaming.accumulator.parsers.parser import parser_of
from streaming.forward import event_time

MESSAGE = "message"
"""The field of a line that cannot be parsed."""


class Lines:
    """Parts and parses the lines of one source, all of which end with a line feed (but perhaps the last of a file)."""

    def __init__(self, parse: Parse) -> None:
        self._parser = parser_of(parse)
        self._first_line = parse.first_line if isinstance(parse, MultilineParse) else None
        self._pack = msgpack.Packer(unicode_errors="surrogateescape").pack

    def whole(self, raw: bytes) -> int:
        """How many bytes from the start are whole events: up to the last line feed, or where events have several
        lines up to the last one that has begun; 0 if the end of the first is not there."""
        end = raw.rfind(b"\n") + 1
        if self._first_line is None or not end:
            return end
        last = 0
        for start, line in _lines(raw[:end]):
            if start and _is_first(self._first_line, line):
                last = start
        return last

    def first(self, raw: bytes) -> int:
        """How many bytes the first event has; 0 if its end is not there."""
        if self._first_line is None:
            return raw.find(b"\n") + 1
        end = raw.rfind(b"\n") + 1
        begun = (start for start, line in _lines(raw[:end]) if start and _is_first(self._first_line, line))
        return next(begun, 0)

    def entries(self, raw: bytes, received_ns: int) -> list[bytes]:
        """The packed entries of all that is in these bytes; blank lines say nothing."""
        now = event_time.encode(received_ns)
        return [entry for text in self._texts(raw) for entry in self._of(text, received_ns, now)]

    def _texts(self, raw: bytes) -> Iterator[bytes]:
        """Single lines, or the lines of an event. What stands before the first one that has begun is single lines."""
        lines = raw.split(b"\n")
        if self._first_line is None:
            yield from (line.removesuffix(b"\r") for line in lines if line.strip())
            return
        if not lines[-1]:
            lines.pop()
        event: list[bytes] = []
        for line in lines:
            if _is_first(self._first_line, line):
                if event:
                    yield b"\n".join(event)
                event = [line]
            elif event:
                event.append(line)
            elif line.strip():
                yield line.removesuffix(b"\r")
        if event:
            yield b"\n".join(event).removesuffix(b"\r")

    def _of(self, text: bytes, received_ns: int, now: msgpack.ExtType) -> list[bytes]:
        try:
            return [
                self._pack([now if time_ns is None or time_ns == received_ns else event_time.encode(time_ns), record])
                for time_ns, record in self._parser.parse(text, received_ns)
            ]
        except (
            Unparsed,
            ValueError,
            OverflowError,
        ):  # the latter two: half a surrogate pair, which msgpack does not pack
            return [self._pack([now, {MESSAGE: text.decode("utf-8", "surrogateescape")}])]


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line without its line feed."""
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        if end < 0:
            yield start, raw[start:]
            return
        yield start, raw[start:end]
        start = end + 1


def _is_first(pattern: Pattern, line: bytes) -> bool:
    return pattern.found_in(line.decode("utf-8", "surrogateescape"))
