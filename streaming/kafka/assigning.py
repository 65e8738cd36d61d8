"""Where a member of a group begins to read what it was given: asked for by Vigil, and not left to the client.

librdkafka asks the group's coordinator for the committed offsets once. Where the answer is that the coordinator is
another broker by now (its role moves with a broker that is lost, and again when that is back), the partition stays
assigned and is never fetched, while everything looks well: confluentinc/librdkafka#5586. A partition that is assigned
with its offset has nothing to ask for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka.clients import Consumer as Member
from streaming.worker.logs import logger

log = logger(__name__)

ASK_WITHIN_S = 60.0
"""A coordinator that has just got its role reads what is committed first: seconds. Far below `max.poll.interval.ms`
(5 minutes), within which a member must come back from this."""
ONCE_WITHIN_S = 5.0
AGAIN_S = 0.2

_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        # Another member's transaction with offsets of this partition is being ended.
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)


def at_committed(
    consumer: Consumer, partitions: Sequence[TopicPartition], within_s: float = ASK_WITHIN_S
) -> list[TopicPartition]:
    """These partitions, each with the offset that the group goes on at: what is committed, or else the beginning
    (`OFFSET_BEGINNING`, below 0), as `auto.offset.reset=earliest` would have it.

    To be given to `incremental_assign` (a group that rebalances cooperatively) or `assign` in `on_assign`, where nobody
    else commits these partitions any more. Offsets of transactions that are not ended yet are waited for. A member that
    leaves reads nothing any more: its partitions are returned as they are.

    Raises:
        Unavailable: the coordinator does not tell within that time. The worker must not go on: it would read nothing.
    """
    if not partitions or (isinstance(consumer, Member) and consumer.closing):
        return list(partitions)
    deadline = time.monotonic() + within_s
    asked = [TopicPartition(at.topic, at.partition) for at in partitions]
    while True:
        try:
            return [_placed(at) for at in consumer.committed(asked, timeout=ONCE_WITHIN_S)]
        except KafkaException as error:
            why: KafkaError = error.args[0]
            if why.code() not in _PASSING or time.monotonic() > deadline:
                raise Unavailable(f"Kafka does not say where its group goes on: {why.str()}") from error
            log.info("asked again where to go on", reason=why.str())
        time.sleep(AGAIN_S)


def _placed(at: TopicPartition) -> TopicPartition:
    if at.error is not None:
        raise KafkaException(at.error)
    return TopicPartition(at.topic, at.partition, at.offset if at.offset >= 0 else OFFSET_BEGINNING)
