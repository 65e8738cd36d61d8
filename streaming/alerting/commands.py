"""Gives the manager orders, and reads what came of them from the audit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming import decoding
from streaming.alerting.messages import AuditEntry, Command
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.clients import consumer, producer
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

SEND_WITHIN_S = 10.0
LOOK_S = 0.1
"""How long a look for an answer waits; the manager obeys within some 10 ms."""


def send_commands(settings: Settings, commands: Sequence[Command]) -> None:
    """Returns when Kafka has the orders; the manager obeys them some milliseconds later, in this order.

    Raises:
        Unavailable: Kafka does not answer. Some may have arrived.
    """
    failures: list[str] = []
    out = producer(settings.kafka, message_timeout_ms=int(SEND_WITHIN_S * 1000))
    for command in commands:
        out.produce(
            settings.topic(topics.COMMANDS),
            key=command.incident_id or command.incident_key,
            value=msgspec.json.encode(command),
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    if out.flush(SEND_WITHIN_S + 1) or failures:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not take the order: {failures or 'no answer'}")


def obeyed(settings: Settings, commands: Sequence[Command], wait_s: float) -> dict[str, AuditEntry]:
    """Sends orders, and waits until the manager has obeyed all of them; what it has not within `wait_s` is missing.

    By `Command.order_id`, which must be there and differ. An order that is missing stays in Kafka, and is obeyed when
    a manager works again.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with _audit_from_now(settings) as audit:
        send_commands(settings, commands)
        return _answers(audit, {command.order_id for command in commands}, time.monotonic() + wait_s)


def read_audit(settings: Settings, since_ms: int) -> list[AuditEntry]:
    """Who ordered what from this time on, and what came of it, the eldest first. One that cannot be read is logged and
    left out.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with RangeReader(settings, "audit") as reader:
        records = reader.read_since(settings.topic(topics.AUDIT), since_ms)
        found = [entry for record in records if (entry := _entry(record.value())) is not None]
    return sorted((entry for entry in found if entry.at_ms >= since_ms), key=lambda entry: entry.at_ms)


@contextmanager
def _audit_from_now(settings: Settings) -> Iterator[Consumer]:
    """Reads what the manager writes into the audit from now on."""
    topic = settings.topic(topics.AUDIT)
    with RangeReader(settings, "audit") as reader:
        ends = {partition: bound.end for partition, bound in reader.bounds_of(topic).items()}
    audit = consumer(settings.kafka, settings.group("audit"), fetch_wait_max_ms=10)
    try:
        audit.assign([TopicPartition(topic, partition, end) for partition, end in ends.items()])
        yield audit
    except KafkaException as error:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not answer: {error.args[0].str()}") from error
    finally:
        audit.close()


def _answers(audit: Consumer, awaited: set[str], deadline: float) -> dict[str, AuditEntry]:
    found: dict[str, AuditEntry] = {}
    while len(found) < len(awaited) and time.monotonic() < deadline:
        message = audit.poll(LOOK_S)
        # An error passes: the client mends it by itself, or the time is over.
        if message is None or message.error() is not None:
            continue
        entry = _entry(message.value())
        if entry is not None and entry.order_id in awaited:
            found[entry.order_id] = entry
    return found


def _entry(value: bytes | str | None) -> AuditEntry | None:
    try:
        return decoding.decode(value or b"", AuditEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("record left unread", topic=topics.AUDIT, reason=str(error))
        return None
