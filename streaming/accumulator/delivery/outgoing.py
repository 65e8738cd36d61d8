"""What Kafka is sent for a chunk: for each event its topics, key, value and coordinates. Pure and repeatable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from streaming.accumulator.configuration.plan import KafkaOutput, NullOutput, Output, StdoutOutput, text_at
from streaming.accumulator.delivery.events import Broken, Event, read_events
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.spool.segment import Stored
from streaming.dead_letters import REASON, TOPIC, WORKER
from streaming.events import coordinates
from streaming.forward.frames import FrameError, inflate

Headers = list[tuple[str, bytes]]

RECORD_LIMIT = 1_040_000
"""Most bytes of key, value and headers on an ordinary topic: Kafka's default `max.message.bytes` is 1,048,588 for
a batch, of which some 100 are the batch's and the record's own. A line of 1,000,000 bytes passes."""
DEAD_LETTER_LIMIT = 8 * 1024 * 1024 - 4096
"""The dead letters' `max.message.bytes` (8 MiB, streaming/kafka/topics.py), less room for headers."""


class ToKafka(NamedTuple):
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


class ToFile(NamedTuple):
    """A value too large even for the dead letters; goes to a file of this name in the secondary's folder."""

    folder: str | None
    name: str
    value: bytes


class ToStdout(NamedTuple):
    """A line for standard output."""

    line: bytes


Outgoing = ToKafka | ToFile | ToStdout


class Converter:
    """Turns stored chunks into what goes out. Knows the accumulator's identity, the routes and the dead letters."""

    def __init__(self, accumulator: str, incarnation: str, router: Router, dead_letters: str) -> None:
        self._accumulator, self._incarnation = accumulator, incarnation
        self._router, self._dead_letters = router, dead_letters

    def outgoing(self, chunk: Stored, too_large: Mapping[int, int] = MappingProxyType({})) -> Iterator[Outgoing]:
        """All that a chunk becomes, in the order of its events.

        `too_large` says how often Kafka has refused a position for its size: an event's topic first, then the dead
        letters (they may be smaller than ours where somebody else made them); then a file takes it.
        """
        try:
            body = inflate(chunk.body) if chunk.gzip else chunk.body
        except FrameError:  # it was whole when it was spooled; only its own bytes can say more
            yield self._dead_letter(chunk.body, "malformed-chunk", self._headers(chunk, 0, 0), "", 0 in too_large)
            return
        routes = self._router.routes(chunk.label or None, chunk.tag)
        prefix = f"{self._accumulator}:{self._incarnation}:{chunk.sequence}:"
        tag = chunk.tag.encode("utf-8", "surrogatepass")
        for position, event in enumerate(read_events(body)):
            if isinstance(event, Broken):
                headers = self._headers(chunk, position, 0)
                yield self._dead_letter(event.raw, "malformed-event", headers, "", position in too_large)
                continue
            # As `coordinates.encode`, of which a test says that it is the same; a quarter of the time.
            header = f"{prefix}{position}:{chunk.received_ns}:{event.time_ns}:".encode() + tag
            headers = [(coordinates.HEADER, header)]
            if not routes.matched:
                yield self._dead_letter(event.value, "no-route", headers, "", position in too_large)
                continue
            for output in routes.outputs(event.record):
                if isinstance(output, KafkaOutput):
                    yield self._record(output, event, headers, too_large.get(position, 0))
                else:
                    yield from _elsewhere(output, event)

    def _record(self, output: KafkaOutput, event: Event, headers: Headers, refused: int) -> ToKafka | ToFile:
        key = _key(event, output.key_field)
        value = event.value
        if refused or len(value) + len(headers[0][1]) + (len(key) if key else 0) > RECORD_LIMIT:
            to_file = refused > (0 if len(value) > RECORD_LIMIT else 1)
            return self._dead_letter(value, "too-large", headers, output.topic, to_file, output.secondary)
        return ToKafka(output.topic, key, value, headers)

    def _dead_letter(
        self, value: bytes, reason: str, headers: Headers, topic: str, to_file: bool, secondary: str | None = None
    ) -> ToKafka | ToFile:
        if to_file or len(value) > DEAD_LETTER_LIMIT:
            place = coordinates.decode(headers[0][1])
            return ToFile(secondary, place.key.replace(":", "-") + ".json", value)
        about = [(REASON, reason.encode()), (WORKER, self._accumulator.encode()), (TOPIC, topic.encode())]
        return ToKafka(self._dead_letters, None, value, [*headers, *about])

    def _headers(self, chunk: Stored, position: int, event_ns: int) -> Headers:
        place = coordinates.Coordinates(
            self._accumulator, self._incarnation, chunk.sequence, position, chunk.received_ns, event_ns, chunk.tag
        )
        return [(coordinates.HEADER, coordinates.encode(place))]


def _elsewhere(output: Output, event: Event) -> Iterator[Outgoing]:
    if isinstance(output, StdoutOutput):
        yield ToStdout(event.value)
    else:
        assert isinstance(output, NullOutput)


def _key(event: Event, field: str) -> bytes | None:
    """The node's id as text, so that 7 and "7" are one node; None where there is none."""
    found = event.record.get(field)
    if found.__class__ is not str:
        found = text_at(event.record, (field,))
    return str(found).encode() or None
