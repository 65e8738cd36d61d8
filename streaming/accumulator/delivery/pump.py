"""From the spool to Kafka: in order, delivery tracked per chunk, the spool's cursor only ever behind what Kafka has.

What happens to a chunk, in this order: its records are produced and confirmed; its page of the ledger is produced and
confirmed; the cursor moves over it.

Two kinds of failure. Kafka *refuses* a record (retries.is_refusal): that record is tried again on its own, with growing
pauses, then becomes a dead letter, then a line of a secondary file; what is behind it goes on. Anything else says that
Kafka is not there: forget what is under way, go back to the first chunk that is not settled, and produce again. What
arrives twice carries the same coordinates.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from streaming.accumulator.configuration.plan import KafkaOutput
from streaming.accumulator.delivery import retries, secondary
from streaming.accumulator.delivery.files import AppendedFiles
from streaming.accumulator.delivery.flight import Flight
from streaming.accumulator.delivery.outgoing import (
    Again,
    Converter,
    Outgoing,
    Piece,
    Run,
    ToAppend,
    ToFile,
    ToKafka,
    ToStdout,
)
from streaming.accumulator.delivery.refused import Refused
from streaming.accumulator.delivery.writer import LedgerWriter
from streaming.accumulator.spool.segment import Stored
from streaming.accumulator.spool.spool import Spool
from streaming.events import coordinates
from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_PRODUCED, ACCUMULATOR_SECONDARY

log = logger(__name__)

MIB = 1024 * 1024
EVENTS_IN_FLIGHT = 50_000
"""Events handed to the Kafka client and not confirmed: half a second of work at full speed."""
QUEUE_KBYTES = 64 * 1024
"""What the client may hold; it keeps this process within its 150 MB."""
MISSING_MS = 2_000
"""After so long a topic that Kafka does not have is missing, not only just made (librdkafka: 30 s); meanwhile records
of others pass, until `EVENTS_IN_FLIGHT` wait."""
REFRESH_MS = 10_000
"""How soon a topic that was missing is found (librdkafka: 5 minutes)."""
ROUND_S = 0.2
"""One round of work, so that a stop is seen soon."""
CONFIRM_EVERY_S = 0.002
"""How often confirmations are fetched while any are outstanding; a new chunk interrupts the wait."""
IDLE_S = 0.5
BACKOFF_S = 1.0
CLOSE_FLUSH_S = 3.0
CLOSE_LEDGER_S = 1.0
"""Together within the 9 s that a worker has to close; what is not confirmed then stays in the spool."""


class Connect(Protocol):
    """Makes a producer. `alone`: each record in a batch of its own."""

    def __call__(self, *, alone: bool = False) -> Producer: ...


def make_producer(kafka: KafkaAccess, compression: str | None = None, *, alone: bool = False) -> Producer:
    """A producer that tries for ever: the spool, not a time-out, decides what is given up (nothing).

    `alone`: each record has a batch to itself, so that Kafka's refusal of one says nothing of others.
    """
    more: dict[str, clients.ConfigValue] = {"compression_type": compression} if compression else {}
    if alone:
        more |= {"batch_num_messages": 1, "linger_ms": 0}
    return clients.producer(
        kafka,
        **{
            "linger_ms": 5,
            "message_timeout_ms": 0,
            "message_max_bytes": 8 * MIB,
            "topic_metadata_propagation_max_ms": MISSING_MS,
            "topic_metadata_refresh_interval_ms": REFRESH_MS,
            "queue_buffering_max_kbytes": QUEUE_KBYTES,
            "queue_buffering_max_messages": 2 * EVENTS_IN_FLIGHT,
        }
        | more,
    )


class Pump:
    """Delivers the spool. One thread calls `run_once` and `close`.

    `reports` is told (true, "") whenever a delivery succeeds after trouble and (false, why) when one fails.
    `undelivered` is the folder of secondary files where the configuration names none. `own_topics` are those that are
    waited for where Kafka does not have them.
    """

    def __init__(
        self,
        name: str,
        spool: Spool,
        converter: Converter,
        connect: Connect,
        undelivered: Path,
        reports: Callable[[bool, str], None],
        ledger_topic: str,
        own_topics: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._spool, self._converter, self._connect = name, spool, converter, connect
        self._undelivered, self._reports, self._clock = undelivered, reports, clock
        self._own_topics = frozenset(own_topics)
        self.producer = connect()
        self._alone: Producer | None = None
        self._flights: deque[Flight] = deque()
        """All that is not settled, in order of sequence."""
        self._air: deque[Flight] = deque()
        """Those of them whose records have not all come back, in order of sequence."""
        self._in_flight = 0
        """Records of `_air`."""
        self._refused = Refused(converter, clock)
        self._trouble: list[KafkaError] = []
        self._sending: Iterator[Outgoing | Run] | None = None
        self._left: ToKafka | Run | None = None
        """What the client's queue had no room for."""
        self._files: list[ToFile] = []
        self._appended = AppendedFiles()
        self._failing = self._ledger_failing = False
        self._not_before = 0.0
        self._heard_at = clock()
        """When Kafka last answered, or nothing was asked of it."""
        self._patience_s = min(map(_age_limit_s, converter.outputs), default=math.inf)
        self._replay_id = f"late-{os.urandom(6).hex()}"
        self._late = itertools.count(1)
        self._ledger = LedgerWriter(
            ledger_topic, converter.accumulator, converter.incarnation, spool, lambda: self.producer, clock
        )
        self._settled_to = spool.delivered_to
        """The first sequence that is not settled: what is below is in the ledger or on its way there."""
        self._reader = spool.reader()
        self._delivered_to_ns = 0

    def delivered_to_ns(self, now_ns: int) -> int:
        """The receive time up to which everything received is in Kafka, but for records that Kafka refused; `now_ns`
        where nothing waits. What was only just received may lie a little before what was said last."""
        if self._air:
            self._delivered_to_ns = self._air[0].chunk.received_ns
        elif self._reader.next_sequence >= self._spool.next_sequence:
            self._delivered_to_ns = now_ns
        return self._delivered_to_ns

    def run_once(self) -> None:
        """Sends and confirms for a fifth of a second, or waits up to half a second for something to do."""
        until = self._clock() + ROUND_S
        if self._not_before > until:
            time.sleep(ROUND_S)
            return
        while self._clock() < until:
            if self._in_flight >= EVENTS_IN_FLIGHT or self._ledger.behind:
                self.producer.poll(0.05)
            elif not (self._retry_due() or self._send_next()):
                self._wait()
            else:
                self.producer.poll(0)
            if not self._settle():
                return

    def close(self) -> None:
        """Waits a few seconds for what is under way; the rest stays in the spool."""
        self.producer.flush(CLOSE_FLUSH_S)
        if self._settle():
            self._ledger.close()
            self.producer.flush(CLOSE_LEDGER_S)
            self._ledger.settle()
        self._spool.save_cursor()
        self._appended.close()

    # ------------------------------------------------------------------------------------------------ sending

    def _wait(self) -> None:
        outstanding = self._air or self._ledger.outstanding or self._refused.in_an_attempt
        if not outstanding:
            self._heard_at = self._clock()
            self._spool.save_cursor()
        until = self._clock() + (CONFIRM_EVERY_S if outstanding else IDLE_S)
        wait = max(0.0, min(until, self._refused.next_due, self._ledger.next_due) - self._clock())
        self._spool.wait_for_growth(self._reader.next_sequence, wait)
        # Also where nothing of the pump's own is outstanding: others produce through the same client (`life.py`), and
        # hear of Kafka's answers only here.
        self.producer.poll(0)

    def _send_next(self) -> bool:
        """Sends the rest of a chunk, or the next one; false when the spool is empty or the client's queue full."""
        if self._sending is None:
            chunk = self._read()
            if chunk is None:
                return False
            if chunk.sequence < self._settled_to:
                return True  # the reader begins at the cursor, which waits for the ledger
            flight = Flight(chunk, self._trouble, time.time_ns(), self._own_topics)
            self._flights.append(flight)
            self._air.append(flight)
            if chunk.lost:
                flight.complete = True
                return True
            to_file = self._is_too_old(chunk) if self._kafka_is_silent() else None
            self._sending = self._converter.runs(chunk, flight.fates, to_file)
        flight = self._air[-1]
        before = flight.produced
        sent = self._send(flight, self._sending)
        self._in_flight += flight.produced - before
        if sent:
            flight.complete, self._sending = True, None
        return sent

    def _read(self) -> Stored | None:
        try:
            return self._reader.next()
        except OSError as error:
            self._trouble.append(_disk_error(error))
            return None

    def _send(self, flight: Flight, outgoing: Iterator[Outgoing | Run]) -> bool:
        item: Outgoing | Run | None = self._left or next(outgoing, None)
        self._left = None
        try:
            while item is not None:
                if isinstance(item, Run):
                    self._left = self._produce_run(flight, item)
                elif isinstance(item, ToKafka):
                    self._left = self._produce(flight, item)
                else:
                    self._send_elsewhere(item, flight.chunk)
                if self._left:
                    self.producer.poll(0.01)
                    return False
                item = next(outgoing, None)
            self._write_files()
        except OSError as error:
            self._trouble.append(_disk_error(error))
        return True

    def _produce_run(self, flight: Flight, run: Run) -> Run | None:
        """Hands records to the client; those that its queue has no room for are left."""
        produce, confirm, bound = self.producer.produce, flight.confirming(), MethodType
        topic, records = run
        done = 0
        for value, key, header in records:
            try:
                produce(topic, value, key, -1, bound(confirm, header), None, 0, [(coordinates.HEADER, header)])
            except KafkaException as error:
                flight.failed(_cause(error), [(coordinates.HEADER, header)], topic)
            except BufferError:
                break
            done += 1
        flight.topics[topic] += done
        flight.produced += done
        return Run(topic, records[done:]) if done < len(records) else None

    def _produce(self, flight: Flight, record: ToKafka) -> ToKafka | None:
        topic, key, value, headers = record
        try:
            self.producer.produce(topic, value, key, on_delivery=partial(flight.confirm, headers), headers=[*headers])
        except KafkaException as error:
            flight.failed(_cause(error), headers, topic)
        except BufferError:
            return record
        flight.topics[topic] += 1
        flight.produced += 1
        return None

    def _send_elsewhere(self, item: ToFile | ToStdout | ToAppend, chunk: Stored) -> None:
        if isinstance(item, ToFile):
            self._files.append(item)
        elif isinstance(item, ToAppend):
            self._appended.append(item.output, item.event, item.tag, chunk.received_ns)
        else:
            sys.stdout.buffer.write(item.line + b"\n")
            sys.stdout.buffer.flush()

    def _write_files(self) -> None:
        """What a chunk has for files, on the disk; for the secondary one file in each folder."""
        self._appended.sync()
        items, self._files = self._files, []
        folders = dict.fromkeys(item.folder for item in items)
        for folder in folders:
            own = [item for item in items if item.folder == folder]
            file = secondary.write(Path(folder) if folder else self._undelivered, own)
            ACCUMULATOR_SECONDARY.labels(self._name).inc(len(own))
            log.error(
                "events that Kafka did not take are kept in a file",
                file=str(file),
                events=len(own),
                reasons=sorted({item.reason for item in own}),
                remedy=f"vigil secondary replay {file}",
            )

    # ---------------------------------------------------------------------------------------------- Kafka away

    def _kafka_is_silent(self) -> bool:
        """For so long that some output's chunks may be old enough for its secondary."""
        return self._clock() - self._heard_at >= self._patience_s

    def _is_too_old(self, chunk: Stored) -> Callable[[KafkaOutput], bool]:
        age_s = (time.time_ns() - chunk.received_ns) / 1e9
        silent_s = self._clock() - self._heard_at
        return lambda output: min(age_s, silent_s) >= _age_limit_s(output)

    def _must_go_to_file(self) -> bool:
        """Kafka has been away for too long for the first chunk that is under way to it."""
        if not self._air or not self._kafka_is_silent():
            return False
        too_old = self._is_too_old(self._air[0].chunk)
        return any(self._air[0].topics[o.topic] and too_old(o) for o in self._converter.outputs)

    # ---------------------------------------------------------------------------------------------- refusals

    def _retry_due(self) -> bool:
        """Tries one chunk again of which something was refused and is due; false where none is."""
        due = self._refused.take_due(len(self._flights))
        if due:
            self._send_again(*due)
        return bool(due)

    def _send_again(self, flight: Flight, steps: Mapping[Piece, Again]) -> None:
        if self._alone is None:
            self._alone = self._connect(alone=True)
        try:
            for piece, item in self._converter.again(flight.chunk, steps, flight.fates):
                if isinstance(item, ToKafka):
                    self._refused.goes_alone(flight.chunk.sequence, piece)
                    self._produce_alone(self._alone, flight, item)
                else:
                    self._send_elsewhere(item, flight.chunk)
            self._write_files()
        except OSError as error:
            self._trouble.append(_disk_error(error))

    def _produce_alone(self, producer: Producer, flight: Flight, item: ToKafka) -> None:
        topic, key, value, headers = item
        if topic != self._converter.dead_letters:
            # Later records of its node are there already; without this a matcher would take it for a repeat of one.
            replay = coordinates.Replay(self._replay_id, next(self._late))
            headers = [*headers, (coordinates.REPLAY_HEADER, coordinates.encode_replay(replay))]
        flight.produced += 1
        flight.topics[topic] += 1
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=partial(flight.confirm, headers), headers=headers)  # type: ignore[arg-type]
            except BufferError:
                producer.poll(0.05)
            except KafkaException as error:
                flight.failed(_cause(error), headers, topic)
                return
            else:
                return

    # ---------------------------------------------------------------------------------------------- settling

    def _settle(self) -> bool:
        """Moves on over chunks that are delivered whole, in order; false after a failure."""
        if self._alone is not None:
            self._alone.poll(0)
        if self._trouble or self._must_go_to_file():
            self._go_back()
            return False
        while self._air and self._air[0].landed:
            flight = self._air.popleft()
            self._in_flight -= flight.produced
            if flight.produced:
                self._heard_at = self._clock()
            self._landed(flight)
        for flight in self._refused.answered():
            self._landed(flight)
        while self._flights and self._flights[0].landed and self._flights[0].chunk.sequence not in self._refused:
            self._settled(self._flights.popleft())
        if self._ledger.turn():
            self._tell_of_ledger()
        return True

    def _landed(self, flight: Flight) -> None:
        if flight.refused:
            for topic, error in self._refused.note(flight):
                self._say_failing(f"Kafka refuses records of topic {topic}", error, flight.chunk.sequence)
            return
        self._refused.release(flight)
        if flight is not self._flights[0]:
            flight.chunk = flight.chunk._replace(body=b"")  # it only waits for those before it

    def _settled(self, flight: Flight) -> None:
        chunk, lost = flight.chunk, flight.chunk.lost
        self._settled_to = chunk.sequence + 1
        self._spool.settled(chunk)
        if lost:
            self._ledger.skip(f"<{lost.kind}>", lost.events, chunk)
        else:
            self._ledger.add(flight.fates.entry(chunk.sequence), chunk, flight.started_ns)
        for topic, count in flight.topics.items():
            ACCUMULATOR_PRODUCED.labels(self._name, topic).inc(count)
        if self._failing and not self._refused:
            self._failing = False
            self._reports(True, "")
            log.info("delivers again")

    def _tell_of_ledger(self) -> None:
        if bool(self._ledger.trouble) != self._ledger_failing:
            self._ledger_failing = bool(self._ledger.trouble)
            self._reports(not self._ledger_failing, self._ledger.trouble)

    def _say_failing(self, what: str, error: KafkaError, sequence: int) -> None:
        if not self._failing:
            log.error(f"{what}; trying again", error=error.str(), sequence=sequence)
        self._failing = True
        self._reports(False, f"{what}: {error.str()}")

    def _go_back(self) -> None:
        """Forgets what is under way and begins again behind what is settled, after a pause."""
        if self._trouble:
            error = self._trouble[0]
            what = "the disk fails" if error.code() == KafkaError._FS else "Kafka does not take records"
            self._say_failing(what, error, self._settled_to)
            self._not_before = self._clock() + BACKOFF_S
        fatal = any(e.fatal() or e.code() == KafkaError._FATAL for e in self._trouble)
        self._trouble = []  # the records of these flights still report to the old one
        for producer in (self.producer, self._alone):
            if producer is not None:
                producer.purge()
                producer.flush(1.0)
        if fatal:
            self.producer, self._alone = self._connect(), None
        self._ledger.produce_again()
        self._flights.clear()
        self._air.clear()
        self._refused.clear()
        self._files.clear()
        self._appended.forget()
        self._in_flight = 0
        self._sending = self._left = None
        self._reader = self._spool.reader()


def _age_limit_s(output: KafkaOutput) -> float:
    """How long a chunk may wait for Kafka before this output's secondary takes it; without one, for ever."""
    if output.secondary is None or output.buffer.retry_forever:
        return math.inf
    return retries.patience_s(output.buffer, has_secondary=True)


def _cause(error: KafkaException) -> KafkaError:
    cause = error.args[0]
    return cause if isinstance(cause, KafkaError) else KafkaError(KafkaError._FAIL)


def _disk_error(error: OSError) -> KafkaError:
    return KafkaError(KafkaError._FS, f"{error.filename or 'standard output'}: {error.strerror}")
