"""Reads a compacted topic whole: the latest value of each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from confluent_kafka import Message

from streaming import decoding
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings
from streaming.worker.logs import logger
from streaming.worker.metrics import UNREADABLE

log = logger(__name__)

STALL_S = 30.0
"""Without a record. A transaction that a killed process left open blocks it for at most
TRANSACTION_TIMEOUT_MS (5 s) + the broker's sweep (10 s by default, 1 s here)."""


def read_all(settings: Settings, name: str, *, wait_for_open: bool = False) -> dict[bytes, bytes]:
    """The latest committed value of each key of a topic of the catalogue; deleted keys (tombstones) are left out.

    It reads to the end as committed when it starts. With `wait_for_open` it also waits for the transactions that
    are open then, so that what another process has just committed is certainly seen: a worker that restores its
    state needs that, a command that shows something does not.

    Raises:
        Unavailable: Kafka does not answer, or the topic is missing, or nothing comes for `STALL_S`.
    """
    topic = settings.topic(name)
    latest: dict[bytes, bytes] = {}
    with RangeReader(settings, read_within_s=STALL_S) as reader:
        bounds = reader.bounds_of(topic, with_open=wait_for_open)
        for batch in reader.read(topic, {p: (bound.start, bound.end) for p, bound in bounds.items()}):
            for record in batch:
                _take(record, latest)
    return latest


_Kind = TypeVar("_Kind")


def readable(records: Mapping[bytes, bytes], kind: type[_Kind], topic: str, worker: str) -> dict[bytes, _Kind]:
    """The values of records of a topic of the catalogue, of which `kind` is the type, by their keys.

    One that cannot be read was written by no Vigil of this version. It is counted, logged and left where it is: a
    worker that would not start for it could do nothing for all the others either.
    """
    found: dict[bytes, _Kind] = {}
    for key, value in records.items():
        try:
            found[key] = decoding.decode(value, kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            unreadable(topic, key, error, worker)
    return found


def unreadable(topic: str, key: bytes, error: Exception, worker: str) -> None:
    """Counts and logs a record that cannot be read."""
    UNREADABLE.labels(worker, topic).inc()
    log.error(
        "record left unread",
        topic=topic,
        key=key.decode("utf-8", "replace"),
        reason=str(error),
        remedy="start the version of Vigil that wrote it, or delete the record by a tombstone",
    )


def _take(record: Message, latest: dict[bytes, bytes]) -> None:
    key, value = record.key(), record.value()
    assert isinstance(key, bytes), "every record of a compacted topic has a key"
    if value is None:
        latest.pop(key, None)
    else:
        latest[key] = bytes(value) if not isinstance(value, bytes) else value
