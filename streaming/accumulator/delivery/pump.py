"""From the spool to Kafka: in order, delivery tracked per chunk, the spool's cursor only ever behind what Kafka has.

Any failure that the Kafka client does not mend itself ends in one way: forget what is under way, go back to the
cursor, and produce again. What arrives twice carries the same coordinates.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streaming.accumulator.delivery.outgoing import Converter, Outgoing, ToFile, ToKafka, ToStdout
from streaming.accumulator.spool.disk import sync_folder
from streaming.accumulator.spool.segment import Stored
from streaming.accumulator.spool.spool import Spool
from streaming.events import coordinates
from streaming.kafka import clients
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_PRODUCED

log = logger(__name__)

MIB = 1024 * 1024
EVENTS_IN_FLIGHT = 50_000
"""Events handed to the Kafka client and not confirmed: half a second of work at full speed."""
QUEUE_KBYTES = 64 * 1024
"""What the client may hold; it keeps this process within its 150 MB."""
ROUND_S = 0.2
"""One round of work, so that a stop is seen soon."""
CONFIRM_EVERY_S = 0.002
"""How often confirmations are fetched while any are outstanding; a new chunk interrupts the wait."""
IDLE_S = 0.5
BACKOFF_S = 1.0
CLOSE_FLUSH_S = 4.0
"""Within the 9 s that a worker has to close; what is not confirmed then stays in the spool."""


def make_producer(bootstrap: str, compression: str | None = None) -> Producer:
    """A producer that tries for ever: the spool, not a time-out, decides what is given up (nothing)."""
    more: dict[str, clients.ConfigValue] = {"compression_type": compression} if compression else {}
    return clients.producer(
        bootstrap,
        linger_ms=2,
        message_timeout_ms=0,
        message_max_bytes=8 * MIB,
        queue_buffering_max_kbytes=QUEUE_KBYTES,
        queue_buffering_max_messages=2 * EVENTS_IN_FLIGHT,
        **more,
    )


class _Flight:
    """A chunk on its way. Its `confirm` is the callback of each of its records."""

    def __init__(self, chunk: Stored) -> None:
        self.chunk = chunk
        self.produced = 0
        self.confirmed = 0
        self.complete = False
        self.error: KafkaError | None = None
        self.refused: set[int] = set()
        self.topics: Counter[str] = Counter()

    def confirm(self, error: KafkaError | None, message: Message) -> None:
        """Called for each record, from `poll`."""
        if error is None:
            self.confirmed += 1
            return
        self.error = error
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            header = dict(message.headers() or []).get(coordinates.HEADER)
            if isinstance(header, bytes):
                self.refused.add(coordinates.decode(header).position)


class Pump:
    """Delivers the spool. One thread calls `run_once` and `close`.

    `reports` is told (true, "") whenever a delivery succeeds after trouble and (false, why) when one fails.
    `undelivered` is the folder for what is too large for Kafka where the configuration names none.
    """

    def __init__(
        self,
        name: str,
        spool: Spool,
        converter: Converter,
        connect: Callable[[], Producer],
        undelivered: Path,
        reports: Callable[[bool, str], None],
    ) -> None:
        self._name, self._spool, self._converter, self._connect = name, spool, converter, connect
        self._undelivered, self._reports = undelivered, reports
        self.producer = connect()
        self._reader = spool.reader()
        self._flights: deque[_Flight] = deque()
        self._sending: Iterator[Outgoing] | None = None
        self._held: Outgoing | None = None
        self._in_flight = 0
        self._refused: dict[int, Counter[int]] = {}
        """Sequence -> position -> how often Kafka has refused it for its size."""
        self._failing = False
        self._not_before = 0.0

    def run_once(self) -> None:
        """Sends and confirms for a fifth of a second, or waits up to half a second for something to do."""
        until = time.monotonic() + ROUND_S
        if self._not_before > until:
            time.sleep(ROUND_S)
            return
        while time.monotonic() < until:
            if self._in_flight >= EVENTS_IN_FLIGHT:
                self.producer.poll(0.05)
            elif not self._send_next():
                self._wait()
            else:
                self.producer.poll(0)
            if not self._settle():
                return

    def close(self) -> None:
        """Waits a few seconds for what is under way; the rest stays in the spool."""
        self.producer.flush(CLOSE_FLUSH_S)
        self._settle()
        self._spool.save_cursor()

    def _wait(self) -> None:
        outstanding = bool(self._flights)
        if not outstanding:
            self._spool.save_cursor()
        self._spool.wait_for_growth(self._reader.next_sequence, CONFIRM_EVERY_S if outstanding else IDLE_S)
        if outstanding:
            self.producer.poll(0)

    def _send_next(self) -> bool:
        """Sends the rest of a chunk, or the next one; false when the spool is empty or the client's queue full."""
        if self._sending is None:
            chunk = self._reader.next()
            if chunk is None:
                return False
            self._flights.append(_Flight(chunk))
            self._sending = self._converter.outgoing(chunk, self._refused.get(chunk.sequence, {}))
        flight = self._flights[-1]
        before = flight.produced
        sent = self._send(flight, self._sending)
        self._in_flight += flight.produced - before
        if sent:
            flight.complete, self._sending = True, None
        return sent

    def _send(self, flight: _Flight, outgoing: Iterator[Outgoing]) -> bool:
        produce, confirm, topics = self.producer.produce, flight.confirm, flight.topics
        item = self._held or next(outgoing, None)
        try:
            while item is not None:
                if isinstance(item, ToKafka):
                    topic, key, value, headers = item
                    produce(topic, value, key, on_delivery=confirm, headers=headers)  # type: ignore[arg-type]
                    topics[topic] += 1
                    flight.produced += 1
                else:
                    self._send_elsewhere(item)
                item = next(outgoing, None)
        except BufferError:
            self._held = item
            self.producer.poll(0.01)
            return False
        except KafkaException as error:
            cause = error.args[0]
            flight.error = cause if isinstance(cause, KafkaError) else KafkaError(KafkaError._FAIL)
            if flight.error.code() == KafkaError.MSG_SIZE_TOO_LARGE and isinstance(item, ToKafka):
                flight.refused.add(coordinates.decode(item.headers[0][1]).position)
        except OSError as error:
            flight.error = KafkaError(KafkaError._FS, f"{error.filename or 'standard output'}: {error.strerror}")
        self._held = None
        return True

    def _send_elsewhere(self, item: ToFile | ToStdout) -> None:
        if isinstance(item, ToStdout):
            sys.stdout.buffer.write(item.line + b"\n")
            sys.stdout.buffer.flush()
            return
        folder = Path(item.folder) if item.folder else self._undelivered
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{item.name}.tmp"
        with temporary.open("wb") as file:
            file.write(item.value)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / item.name)
        sync_folder(folder)
        log.error("event too large for Kafka kept in a file", file=str(folder / item.name), bytes=len(item.value))

    def _settle(self) -> bool:
        """Moves the cursor over chunks that Kafka has whole, in order; false after a failure."""
        while self._flights:
            flight = self._flights[0]
            if flight.error is not None or any(f.error for f in self._flights):
                self._go_back(next(f for f in self._flights if f.error))
                return False
            if not flight.complete or flight.confirmed < flight.produced:
                break
            self._flights.popleft()
            self._in_flight -= flight.produced
            self._refused.pop(flight.chunk.sequence, None)
            self._spool.delivered(flight.chunk)
            for topic, count in flight.topics.items():
                ACCUMULATOR_PRODUCED.labels(self._name, topic).inc(count)
            if self._failing:
                self._failing = False
                self._reports(True, "")
                log.info("delivers again")
        return True

    def _go_back(self, failed: _Flight) -> None:
        """Forgets what is under way and begins again at the cursor; after a pause, unless what was too large is new."""
        error = failed.error
        assert error is not None
        news = False
        for flight in self._flights:
            if flight.refused:
                news = True
                self._refused.setdefault(flight.chunk.sequence, Counter()).update(flight.refused)
        if not news:
            what = "a file cannot be written" if error.code() == KafkaError._FS else "Kafka refuses records"
            if not self._failing:
                log.error(f"{what}; trying again", error=error.str(), sequence=failed.chunk.sequence)
            self._failing = True
            self._reports(False, f"{what}: {error.str()}")
            self._not_before = time.monotonic() + BACKOFF_S
        self.producer.purge()
        self.producer.flush(1.0)
        if error.fatal() or error.code() == KafkaError._FATAL:
            self.producer = self._connect()
        self._flights.clear()
        self._sending = self._held = None
        self._in_flight = 0
        self._reader = self._spool.reader()
