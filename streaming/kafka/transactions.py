"""A transactional producer whose failures have three outcomes, each with an exception of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streaming.errors import Unavailable, VigilError
from streaming.kafka.access import KafkaAccess
from streaming.kafka.clients import producer

TRANSACTION_TIMEOUT_MS = 5_000
"""A transaction takes some ms, at the 99th percentile 40. One left open by a killed process stops readers of
committed records until its successor starts, or else until this time and the broker's sweep (1 s on Vigil's own
Kafka, 10 s by default) are over. A process that stood still for longer is fenced, ends and is started again."""

CALL_TIMEOUT_S = 3.0
COMMIT_ATTEMPTS = 3
"""3 x 3 s: within the 10 s that a supervisor gives a process to stop, and a hundred times the usual commit."""

STUCK_AFTER_S = 8.0
"""Longer than the call's own time-out, shorter than what a supervisor gives a process to stop."""


class Fenced(VigilError):
    """Another process with the same transactional id has started; this one must stop and write nothing more."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Aborted(Exception):
    """The transaction was rolled back as a whole; read its input again from the committed offsets."""


class Moved(Aborted):
    """Rolled back since the group of the input was dealt out anew meanwhile, to a member that came or went: who still
    has the input may try the same again."""


def raise_if_fenced(error: KafkaError, member: str) -> None:
    """For errors that a consumer's `poll` gives out.

    Raises:
        Fenced: another process has joined as this static member of the group (`group.instance.id`).
    """
    # librdkafka reports it under a code of its own and leaves the `fatal()` mark unset.
    if error.fatal() or error.code() == KafkaError._FATAL:
        raise Fenced(f"another process took the place of {member} ({error.str()}); is it started twice?")


class TransactionalProducer:
    """Writes to several topics, and commits the input's offsets, all or nothing.

    Its constructor takes over the transactional id: what a forerunner left open is aborted before it returns,
    and the forerunner, if it still lives, is fenced.

    Raises:
        Unavailable: Kafka does not answer.
    """

    def __init__(self, kafka: KafkaAccess, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        # Produce to it only within `transaction()`.
        self.producer: Producer = producer(
            kafka,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            # A batch is written at once and committed at once: waiting for more would only delay it.
            linger_ms=0,
            # What one round leads to is bounded by what it reads, but may be more than the 100,000 of the default
            # (2,000 logs that fire 51 rules each): to fail there would be to fail again after every restart.
            queue_buffering_max_messages=0,
        )
        try:
            self.producer.init_transactions(30.0)
        except KafkaException as error:
            raise Unavailable(f"Kafka at {kafka} does not give out transactions: {error.args[0]}") from error

    @contextmanager
    def transaction(self) -> Iterator[Producer]:
        """`with transactions.transaction() as out: out.produce(...)`; commits at the end of the block.

        Raises:
            Aborted: nothing of the block was written (`Moved`: by no fault of it).
            Unavailable: Kafka answers neither way; the process must end (see `send_offsets`).
            Fenced: nothing of it was written, and another process has taken over.
        """
        try:
            self.producer.begin_transaction()
            yield self.producer
            self._commit()
        except KafkaException as error:
            self._give_up(error)
        except BaseException:
            # What fails here was rolled back all the same, at the latest when the next of this id starts.
            with suppress(KafkaException):
                self.producer.abort_transaction(CALL_TIMEOUT_S)
            raise

    def send_offsets(self, source: Consumer, offsets: list[TopicPartition]) -> None:
        """Makes the input's offsets part of the transaction; they are the *next* offsets to read.

        Raises:
            Unavailable: the client does not come back from the call. The process must end: a new one has a client
                that does, takes over the transactional id and reads again from what is committed.
        """
        if not offsets:
            return
        failures: list[KafkaException] = []
        group = source.consumer_group_metadata()

        def send() -> None:
            try:
                self.producer.send_offsets_to_transaction(offsets, group, CALL_TIMEOUT_S)
            except KafkaException as error:
                failures.append(error)

        # librdkafka 2.16 ignores the time-out while it has no connection to the group's coordinator, and after a
        # broker's restart it may never look for a new one (confluentinc/librdkafka#5456, #5511). A thread can be
        # left behind where a call cannot.
        sender = threading.Thread(target=send, name="send-offsets", daemon=True)
        sender.start()
        sender.join(STUCK_AFTER_S)
        if sender.is_alive():
            raise Unavailable(f"{self.transactional_id}: Kafka's client is stuck committing offsets; start again")
        if failures:
            raise failures[0]

    def _commit(self) -> None:
        for attempt in range(1, COMMIT_ATTEMPTS + 1):
            try:
                self.producer.commit_transaction(CALL_TIMEOUT_S)
                return
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == COMMIT_ATTEMPTS:
                    raise

    def _give_up(self, error: KafkaException) -> None:
        reason = error.args[0]
        if reason.fatal():
            raise Fenced(
                f"{self.transactional_id} was taken over by another process ({reason.str()}); is it started twice?"
            ) from error
        try:
            self.producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException as second:
            if second.args[0].fatal():
                # The broker ends a transaction that takes too long in the same way (KIP-588).
                raise Fenced(
                    f"{self.transactional_id} was taken over by another process, or its transaction took longer than "
                    f"{TRANSACTION_TIMEOUT_MS / 1000:g} s ({reason.str()})"
                ) from second
            raise Unavailable(f"Kafka neither commits nor aborts: {reason.str()}; {second.args[0].str()}") from second
        kind = Moved if reason.code() == KafkaError.ILLEGAL_GENERATION else Aborted
        raise kind(reason.str()) from error
