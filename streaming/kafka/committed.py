"""What consumer groups have committed, asked by a client that is none of their members.

Each group is asked by a consumer of its own that never joins. librdkafka's admin client would answer for all of them,
but where a broker says that it does not keep the group (one that was only just started, or took the group over from
another) the process dies of it: confluentinc/librdkafka#5040.

What a transaction that is still open will commit is not waited for, as a member of the group would have to (KIP-447):
a worker with a backlog has nearly always one open, and who only looks on would be told "not stable yet" for as long.
"""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess
from streaming.kafka.bounds import Place


class CommittedOffsets:
    """Asks again and again, with one connection to Kafka for each group, made when the group is first asked for. For
    one thread."""

    def __init__(self, kafka: KafkaAccess) -> None:
        self._kafka = kafka
        self._of_group: dict[str, Consumer] = {}

    def of(self, group: str, places: Collection[Place], within_s: float) -> dict[Place, int]:
        """The next offset that the group goes on at, as it was committed last; without the partitions where it has
        committed nothing.

        Raises:
            KafkaException: Kafka does not answer in that time, or refuses.
        """
        if not places:
            return {}
        answers = self._asking(group).committed([TopicPartition(*place) for place in places], timeout=within_s)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {(at.topic, at.partition): at.offset for at in answers if at.offset >= 0}

    def close(self) -> None:
        """Disconnects."""
        for asking in self._of_group.values():
            asking.close()
        self._of_group.clear()

    def _asking(self, group: str) -> Consumer:
        if group not in self._of_group:
            self._of_group[group] = clients.consumer(self._kafka, group, isolation_level="read_uncommitted")
        return self._of_group[group]
