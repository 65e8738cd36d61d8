"""A consumer that reads on only when what it has given out is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.assigning import at_committed
from streaming.kafka.clients import ConfigValue
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

Place = tuple[str, int]
"""Topic and partition."""


class HoldingConsumer:
    """Member of a group whose work on what it has read may take long, say while a server is away.

    It takes records, is told when they are done, and commits; until then it stays in the group without reading on. At
    least once: what was not committed is read again, by this or another member. `on_gone` is called with the partitions
    that go to another member: what is in hand of these is then that one's, and of the others it stays in hand, since
    this member does not read it again. `on_error` is told of errors that pass. For one thread.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        on_gone: Callable[[Set[Place]], None],
        on_error: Callable[[str], None],
        **more: ConfigValue,
    ) -> None:
        self._on_gone, self._on_error = on_gone, on_error
        self._offsets: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self.consumer = clients.consumer(settings.kafka, settings.group(group), **more)
        self.consumer.subscribe(list(topics), on_assign=_begin, on_revoke=self._gone, on_lost=self._gone)

    def take(self, limit: int, wait_s: float) -> list[Message]:
        """The next records, at most `limit`; none after `wait_s`.

        Raises:
            Unavailable: Kafka reports an error that does not pass.
        """
        if self._paused:
            self.consumer.resume([TopicPartition(*place) for place in self._paused])
            self._paused.clear()
        return self._records(clients.take(self.consumer, limit, wait_s))

    def stay(self) -> list[Message]:
        """Stays in the group. A record may come all the same, which was under way when reading was paused: it is in
        hand from now on."""
        assigned = {(one.topic, one.partition) for one in self.consumer.assignment()}
        # Also one that came to this member meanwhile.
        if fresh := assigned - self._paused:
            self.consumer.pause([TopicPartition(*place) for place in fresh])
            self._paused |= fresh
        message = self.consumer.poll(0)
        return [] if message is None else self._records([message])

    def commit(self) -> None:
        """All that was given out is done."""
        if not self._offsets:
            return
        done = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._offsets.items()]
        try:
            self.consumer.commit(offsets=done, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets not committed", error=str(error))  # read again, and found to be done
        self._offsets.clear()

    def close(self) -> None:
        """Leaves the group."""
        self.consumer.close()

    def _records(self, messages: list[Message]) -> list[Message]:
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                self._offsets[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
                found.append(message)
            elif error.fatal():
                raise Unavailable(f"Kafka: {error.str()}")
            else:
                self._on_error(error.str())
        return found

    def _gone(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(one.topic, one.partition) for one in partitions}
        self._paused -= gone
        for place in gone:
            self._offsets.pop(place, None)
        self._on_gone(gone)


def _begin(source: Consumer, partitions: list[TopicPartition]) -> None:
    source.incremental_assign(at_committed(source, partitions))
