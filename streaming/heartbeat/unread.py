"""Whether everything that had been sent when it was asked has been read."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streaming.kafka import bounds
from streaming.kafka.bounds import Place

ASK_WITHIN_S = 5.0


class Unread:
    """Remembers where the partitions ended, and says when they have been read so far. Beats go on coming: with
    thousands a second there is no moment at which nothing is unread."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._ends: dict[Place, int] | None = None

    def forget(self) -> None:
        """What was unread then is of no interest any more; the next question begins anew."""
        self._ends = None

    def is_read(self, consumer: Consumer) -> bool:
        """False also where Kafka does not say."""
        assigned = consumer.assignment()
        if not assigned:
            return False
        try:
            if self._ends is None:
                self._ends = _ends(consumer, self._admin, assigned)
            positions = consumer.position(assigned)
        except (KafkaException, TimeoutError):  # a coordinator or leader that is moving: asked again in the next round
            return False
        for position in positions:
            if position.offset >= self._ends.get((position.topic, position.partition), 0):
                self._ends.pop((position.topic, position.partition), None)
        return not self._ends


def _ends(consumer: Consumer, admin: AdminClient, assigned: list[TopicPartition]) -> dict[Place, int]:
    """Of the partitions of which something is unread."""
    places = [(at.topic, at.partition) for at in assigned]
    first, end = (bounds.offsets(admin, places, which, ASK_WITHIN_S) for which in (bounds.START, bounds.END))
    # A partition of which nothing was read since the start has no position, only what is committed, if anything.
    pairs = zip(consumer.position(assigned), consumer.committed(assigned, ASK_WITHIN_S), strict=True)
    at = {(p.topic, p.partition): max(p.offset, c.offset) for p, c in pairs}
    return {place: end[place] for place in places if end[place] > max(first[place], at[place])}
