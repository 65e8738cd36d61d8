"""What Kafka is sent for a chunk: for each event its topics, key, value and coordinates. Pure and repeatable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from streaming.accumulator.configuration.filters import text_at
from streaming.accumulator.configuration.plan import FileOutput, KafkaOutput, Output, StdoutOutput
from streaming.accumulator.delivery import truncation
from streaming.accumulator.delivery.events import Broken, Event, Plain, read_entries
from streaming.accumulator.delivery.ledger import FILE, NOWHERE, SECONDARY, STDOUT, Fates
from streaming.accumulator.delivery.routes import Router, TagRoutes
from streaming.accumulator.delivery.transform import Refused
from streaming.accumulator.spool.segment import Stored
from streaming.dead_letters import REASON, TOPIC, WORKER
from streaming.dead_letters.letters import DETAIL, DETAIL_BYTES
from streaming.events import coordinates
from streaming.forward.frames import FrameError, inflate

if TYPE_CHECKING:
    from streaming.events.model import Json

Headers = list[tuple[str, bytes]]

RECORD_LIMIT = 1_040_000
"""Most bytes of key, value and headers on an ordinary topic: Kafka's default `max.message.bytes` is 1,048,588 for
a batch, of which some 100 are the batch's and the record's own. A line of 1,000,000 bytes passes."""
DEAD_LETTER_LIMIT = 8 * 1024 * 1024 - 4096
"""The dead letters' `max.message.bytes` (8 MiB, streaming/kafka/topics.py), less room for headers."""

MALFORMED_CHUNK = "malformed-chunk"
NO_ROUTE = "no-route"
FILTER = "filter"
TOO_LARGE = "too-large"
KAFKA_AWAY = "kafka-away"
"""Reasons of dead letters and of lines in secondary files. What Kafka refuses otherwise has `refused:` and Kafka's
name of the error."""


class ToKafka(NamedTuple):
    """One record to produce. A dead letter has the header `REASON`."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


class ToFile(NamedTuple):
    """What Kafka does not take; goes to a file in the secondary's folder (None: the accumulator's own)."""

    folder: str | None
    topic: str
    key: bytes | None
    value: bytes
    header: bytes
    reason: str


class ToStdout(NamedTuple):
    """A line for standard output."""

    line: bytes


class ToAppend(NamedTuple):
    """An event for a file of `@type file`."""

    output: FileOutput
    event: Event
    tag: str


Outgoing = ToKafka | ToFile | ToStdout | ToAppend

Record = tuple[bytes, bytes | None, bytes]
"""Value, key, and the coordinates, which are its one header. A list of headers for each would live as long as its run,
and cost more in garbage collection than in the making."""


class Run(NamedTuple):
    """Records for one topic, one behind the other: what most of a chunk becomes, without an object for each."""

    topic: str
    records: list[Record]


RUN_LENGTH = 256
RUN_RECORD_LIMIT = 4096
"""Bytes of key, value and headers; larger records go singly, so that a run holds a megabyte at most."""

ToFileRule = Callable[[KafkaOutput], bool]
"""Whether an event that this output should take to Kafka goes to its secondary at once."""


class Piece(NamedTuple):
    """One thing to deliver: an event on its way to a topic, or its dead letter. `topic` is the event's either way."""

    position: int
    topic: str
    letter: bool


class Step(Enum):
    """What is done about a piece that Kafka has refused."""

    AGAIN = "again"
    LETTER = "letter"
    FILE = "file"


class Again(NamedTuple):
    """A step, and for a letter or file the reason that it bears."""

    step: Step
    reason: str = ""


class Converter:
    """Turns stored chunks into what goes out. Knows the accumulator's identity, the routes and the dead letters.

    `outputs` are those of Kafka, for their secondaries; of two to one topic the first counts.
    """

    def __init__(
        self,
        accumulator: str,
        incarnation: str,
        router: Router,
        dead_letters: str,
        outputs: Sequence[KafkaOutput] = (),
    ) -> None:
        self.accumulator, self.incarnation = accumulator, incarnation
        self.dead_letters = dead_letters
        self._router = router
        self._to_letters = (dead_letters,)
        self.outputs = tuple(outputs)
        self._outputs = {o.topic: o for o in reversed(outputs)}

    def outgoing(
        self, chunk: Stored, fates: Fates | None = None, to_file: ToFileRule | None = None
    ) -> Iterator[Outgoing]:
        """As `runs`, each record on its own."""
        for item in self.runs(chunk, fates, to_file):
            if isinstance(item, Run):
                for value, key, header in item.records:
                    yield ToKafka(item.topic, key, value, [(coordinates.HEADER, header)])
            else:
                yield item

    def runs(
        self, chunk: Stored, fates: Fates | None = None, to_file: ToFileRule | None = None
    ) -> Iterator[Outgoing | Run]:
        """All that a chunk becomes, in the order of its events.

        `fates` is told what becomes of each event, for the ledger; it is complete when all was taken. What `to_file`
        says yes to goes to the secondary instead of Kafka.
        """
        fates = Fates() if fates is None else fates
        try:
            body = inflate(chunk.body) if chunk.gzip else chunk.body
        except FrameError:  # it was whole when it was spooled; only its own bytes can say more
            fates.turn(0, self._to_letters)
            fates.events = 1
            yield self._letter(chunk.body, MALFORMED_CHUNK, self._header(chunk, 0, 0), "", fates, 0)
            return
        routes = self._router.routes(chunk.label or None, chunk.tag)
        only_chosen, kind_key = routes.matched and not routes.changes, routes.kind_key
        # As `coordinates.encode`, of which a test says that it is the same; a quarter of the time.
        before, between = f"{self.accumulator}:{self.incarnation}:{chunk.sequence}:", f":{chunk.received_ns}:"
        behind = f":{chunk.tag}"
        outputs: tuple[Output, ...] | None = None
        topic = key_field = ""  # where those are one topic of Kafka
        kind: object = None  # of the last event, as text
        run: list[Record] = []
        position = -1
        for position, event in enumerate(read_entries(body)):
            if only_chosen and not isinstance(event, Broken):
                time_ns, record, value = event
                if kind is None or record.get(kind_key) != kind:
                    found = routes.outputs(record)
                    kind = routes.kind(record)
                if found is not outputs:
                    if run:
                        yield Run(topic, run)
                        run = []
                    outputs = found
                    topic, key_field = ("", "") if to_file else _one_topic(outputs)
                    fates.turn(position, tuple(map(_place, outputs)))
                header = f"{before}{position}{between}{time_ns}{behind}".encode("utf-8", "surrogatepass")
                if topic:
                    key = _key(record, key_field)
                    if len(value) + len(header) + (len(key) if key else 0) <= RUN_RECORD_LIMIT:
                        run.append((value, key, header))
                        if len(run) >= RUN_LENGTH:
                            yield Run(topic, run)
                            run = []
                        continue
            if run:
                yield Run(topic, run)
                run = []
            if only_chosen and not isinstance(event, Broken):
                for output in found:
                    yield from self._deliver(output, Event(*event), position, header, chunk.tag, fates, to_file)
            else:
                outputs, topic = None, ""
                yield from self._carefully(routes, chunk, position, event, fates, to_file)
        if run:
            yield Run(topic, run)
        fates.events = position + 1

    def _carefully(
        self,
        routes: TagRoutes,
        chunk: Stored,
        position: int,
        event: Plain | Broken,
        fates: Fates,
        to_file: ToFileRule | None,
    ) -> Iterator[Outgoing]:
        """An event that cannot be read, has no route, or is changed by filters."""
        if isinstance(event, Broken):
            fates.turn(position, self._to_letters)
            yield self._letter(event.raw, event.reason, self._header(chunk, position, 0), "", fates, position)
            return
        whole = Event(*event)
        header = self._header(chunk, position, whole.time_ns)
        if routes.matched:
            yield from self._changed(routes, chunk, position, whole, header, fates, to_file)
            return
        fates.turn(position, self._to_letters)
        yield self._letter(whole.value, NO_ROUTE, header, "", fates, position)

    def _changed(
        self,
        routes: TagRoutes,
        chunk: Stored,
        position: int,
        event: Event,
        header: bytes,
        fates: Fates,
        to_file: ToFileRule | None,
    ) -> Iterator[Outgoing]:
        """An event that filters change on its way. Its time in the coordinates is the one that filters give it: they
        may have taken it out of the record, where nobody would find it again."""
        try:
            delivered = routes.delivered(event, chunk.received_ns)
        except Refused as refused:
            fates.turn(position, self._to_letters)
            yield self._letter(event.value, FILTER, header, "", fates, position, str(refused))
            return
        fates.turn(position, tuple(_place(output) for output, _ in delivered))
        for output, changed in delivered:
            same = changed.time_ns == event.time_ns
            its = header if same else self._header(chunk, position, changed.time_ns)
            yield from self._deliver(output, changed, position, its, chunk.tag, fates, to_file)

    def _deliver(
        self,
        output: Output,
        event: Event,
        position: int,
        header: bytes,
        tag: str,
        fates: Fates,
        to_file: ToFileRule | None,
    ) -> Iterator[Outgoing]:
        """One event to one output, whatever that needs."""
        if isinstance(output, KafkaOutput):
            key = _key(event.record, output.key_field)
            if to_file is not None and to_file(output):
                fates.instead(position, output.topic, SECONDARY)
                yield ToFile(output.secondary, output.topic, key, event.value, header, KAFKA_AWAY)
            elif len(event.value) + len(header) + (len(key) if key else 0) > RECORD_LIMIT:
                yield from self._cut(output, event, key, header, fates, position)
            else:
                yield ToKafka(output.topic, key, event.value, [(coordinates.HEADER, header)])
        elif isinstance(output, StdoutOutput):
            yield ToStdout(event.value)
        elif isinstance(output, FileOutput):
            yield ToAppend(output, event, tag)

    def again(self, chunk: Stored, pieces: Mapping[Piece, Again], fates: Fates) -> Iterator[tuple[Piece, Outgoing]]:
        """Those pieces of a chunk that Kafka has refused, as what they are to go now. `fates` is told of a change."""
        positions = {piece.position for piece in pieces}
        found: dict[Piece, ToKafka] = {}
        for item in self.outgoing(chunk):
            if isinstance(item, ToKafka):
                piece = piece_of(dict(item.headers), item.topic)
                if piece.position in positions:
                    found[piece] = item
        for piece, again in pieces.items():
            # A letter that was made of a refused event is made of it anew.
            item = found.get(piece) or self._refused_letter(found[piece._replace(letter=False)], piece, again.reason)
            yield from self._redirect(item, piece, again, fates)

    def _refused_letter(self, item: ToKafka, piece: Piece, reason: str) -> ToKafka:
        letter = self._letter(item.value, reason, item.headers[0][1], piece.topic, Fates(), piece.position)
        assert isinstance(letter, ToKafka), "what was refused as a letter is no larger now"
        return letter

    def _redirect(self, item: ToKafka, piece: Piece, again: Again, fates: Fates) -> Iterator[tuple[Piece, Outgoing]]:
        header, was = item.headers[0][1], self.dead_letters if piece.letter else piece.topic
        if again.step is Step.AGAIN:
            yield piece, item
        elif again.step is Step.LETTER:
            fates.instead(piece.position, was, self.dead_letters)
            letter = self._letter(item.value, again.reason, header, piece.topic, fates, piece.position)
            yield piece._replace(letter=True), letter
        else:
            fates.instead(piece.position, was, SECONDARY)
            yield (
                piece,
                ToFile(self.secondary(piece.topic), piece.topic, item.key, item.value, header, again.reason),
            )

    def secondary(self, topic: str) -> str | None:
        """Folder for what this topic does not take; None: the configuration names none."""
        output = self.output(topic)
        return output.secondary if output else None

    def output(self, topic: str) -> KafkaOutput | None:
        """The output that writes to a topic; the first of all for what has no route."""
        return self._outputs.get(topic) or next(iter(self.outputs), None)

    def _cut(
        self, output: KafkaOutput, event: Event, key: bytes | None, header: bytes, fates: Fates, position: int
    ) -> Iterator[Outgoing]:
        """The event cut to fit, in its place, and the whole of it among the dead letters. A key too long is left out:
        it names no node."""
        size = len(event.value)
        if key is not None and len(key) > RECORD_LIMIT // 2:
            key = None
        room = RECORD_LIMIT - len(header) - (len(key) if key else 0)
        value = event.value if size <= room else truncation.cut(event.record, size, room)
        yield ToKafka(output.topic, key, value, [(coordinates.HEADER, header)])
        fates.also(position, self.dead_letters)
        yield self._letter(event.value, TOO_LARGE, header, output.topic, fates, position)

    def _letter(
        self, value: bytes, reason: str, header: bytes, topic: str, fates: Fates, position: int, detail: str = ""
    ) -> ToKafka | ToFile:
        """A dead letter; a file where it is too large even for that. `detail` is for people."""
        if len(value) > DEAD_LETTER_LIMIT:
            fates.instead(position, self.dead_letters, SECONDARY)
            return ToFile(self.secondary(topic), topic, None, value, header, reason)
        about = [(REASON, reason.encode()), (WORKER, self.accumulator.encode()), (TOPIC, topic.encode())]
        if detail:
            about.append((DETAIL, detail.encode("utf-8", "replace")[:DETAIL_BYTES]))
        return ToKafka(self.dead_letters, None, value, [(coordinates.HEADER, header), *about])

    def _header(self, chunk: Stored, position: int, event_ns: int) -> bytes:
        return coordinates.encode(
            coordinates.Coordinates(
                self.accumulator, self.incarnation, chunk.sequence, position, chunk.received_ns, event_ns, chunk.tag
            )
        )


def piece_of(headers: Mapping[str, bytes], topic: str) -> Piece:
    """Which piece a produced record is."""
    position = coordinates.decode(headers[coordinates.HEADER]).position
    letter = REASON in headers
    return Piece(position, headers[TOPIC].decode() if letter else topic, letter)


def _one_topic(outputs: tuple[Output, ...]) -> tuple[str, str]:
    """Topic and key field, where there is one output and it is Kafka; else empty."""
    output = outputs[0] if len(outputs) == 1 else None
    return (output.topic, output.key_field) if isinstance(output, KafkaOutput) else ("", "")


def _place(output: Output) -> str:
    if isinstance(output, KafkaOutput):
        return output.topic
    if isinstance(output, FileOutput):
        return FILE
    return STDOUT if isinstance(output, StdoutOutput) else NOWHERE


def _key(record: dict[str, Json], field: str) -> bytes | None:
    """The node's id as text, so that 7 and "7" are one node; None where there is none."""
    found = record.get(field)
    if found.__class__ is not str:
        found = text_at(record, (field,))
    return str(found).encode() or None
