"""Where partitions begin and end, asked of an admin client: one request for all of them, and not by a consumer, whose
fetch every question would have to wait for (`fetch.wait.max.ms` each)."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

START: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Place = tuple[str, int]
"""Topic and partition."""

Answer = Future[ListOffsetsResultInfo]


def ask(admin: AdminClient, places: Collection[Place], which: OffsetSpec, within_s: float) -> dict[Place, Answer]:
    """Asks without waiting. The end is that of what is committed. An answer is a KafkaException where there is none
    within that time."""
    if not places:
        return {}
    asked = {TopicPartition(*place): which for place in places}
    found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=within_s)
    return {(at.topic, at.partition): answer for at, answer in found.items()}


def offsets(admin: AdminClient, places: Collection[Place], which: OffsetSpec, within_s: float) -> dict[Place, int]:
    """The same, and waits.

    Raises:
        KafkaException: Kafka refuses, or does not answer.
        TimeoutError: nor did its client.
    """
    until = time.monotonic() + within_s
    answers = ask(admin, places, which, within_s)
    return {place: int(answer.result(max(0.0, until - time.monotonic())).offset) for place, answer in answers.items()}
