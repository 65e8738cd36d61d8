"""Reads a compacted topic whole: the latest value of each key."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka.clients import consumer
from streaming.settings import Settings

READ_WITHIN_S = 30.0
"""Longest read. A transaction that a killed process left open blocks it for at most
TRANSACTION_TIMEOUT_MS (10 s) + the broker's sweep (10 s)."""

BATCH = 5000


def read_all(settings: Settings, name: str, *, wait_for_open: bool = False) -> dict[bytes, bytes]:
    """The latest committed value of each key of a topic of the catalogue; deleted keys (tombstones) are left out.

    It reads to the end as committed when it starts. With `wait_for_open` it also waits for the transactions that
    are open then, so that what another process has just committed is certainly seen: a worker that restores its
    state needs that, a command that shows something does not.

    Raises:
        Unavailable: Kafka does not answer, or the topic is missing, or it takes longer than `READ_WITHIN_S`.
    """
    topic = settings.topic(name)
    deadline = time.monotonic() + READ_WITHIN_S
    # Its group is a name alone: partitions are assigned by hand and nothing is committed.
    source = consumer(
        settings.bootstrap,
        settings.group("reader"),
        enable_partition_eof=True,
        fetch_wait_max_ms=10,
        queued_min_messages=BATCH,
    )
    try:
        partitions = _partitions(source, topic, settings.bootstrap)
        wanted = _ends(settings, topic, partitions) if wait_for_open else dict.fromkeys(partitions, 0)
        source.assign([TopicPartition(topic, p, 0) for p in partitions])
        return _read(source, wanted, topic, deadline)
    finally:
        source.close()


def _partitions(source: Consumer, topic: str, bootstrap: str) -> list[int]:
    try:
        found = source.list_topics(topic, timeout=10).topics[topic]
    except KafkaException as error:
        raise Unavailable(f"Kafka at {bootstrap} does not answer: {error.args[0].str()}") from error
    if found.error is not None:
        raise Unavailable(f"no topic {topic} at {bootstrap}: {found.error.str()}; `vigil up` creates it")
    return list(found.partitions)


def _ends(settings: Settings, topic: str, partitions: list[int]) -> dict[int, int]:
    """End offsets with what is still open: the high watermarks, which only a reader of everything is told."""
    source = consumer(settings.bootstrap, settings.group("reader"), isolation_level="read_uncommitted")
    try:
        return {p: source.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
    except KafkaException as error:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not answer: {error.args[0].str()}") from error
    finally:
        source.close()


def _read(source: Consumer, wanted: dict[int, int], topic: str, deadline: float) -> dict[bytes, bytes]:
    latest: dict[bytes, bytes] = {}
    left = dict(wanted)
    while left:
        if time.monotonic() > deadline:
            raise Unavailable(f"{topic} was not read to its end within {READ_WITHIN_S:g} s; is a transaction open?")
        message = source.poll(0.5)
        for record in [message, *source.consume(BATCH, 0)] if message is not None else []:
            _take(record, latest, left)
    return latest


def _take(record: Message, latest: dict[bytes, bytes], left: dict[int, int]) -> None:
    error, partition = record.error(), record.partition() or 0
    if error is not None:
        # Reported at the end of what is committed, each time it is reached.
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if (record.offset() or 0) >= left.get(partition, 0):
            left.pop(partition, None)
        return
    key, value = record.key(), record.value()
    assert isinstance(key, bytes), "every record of a compacted topic has a key"
    if value is None:
        latest.pop(key, None)
    else:
        latest[key] = bytes(value) if not isinstance(value, bytes) else value
