"""Which of several heartbeat monitors works: one seat, which their group gives to one of them at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streaming.errors import Unavailable
from streaming.kafka import clients, topics
from streaming.kafka.assigning import at_committed
from streaming.settings import Settings

READS = (topics.HEARTBEATS, topics.REGISTRATIONS, topics.NODE_ORDERS)
SEAT_TOPIC, SEAT_PARTITION = topics.REGISTRATIONS, 0

HEARTBEATS_A_SESSION = 6
"""A standby hears with its own heartbeat that the seat is free: half a second after a session of 3 s."""

ASK_WITHIN_S = 10.0
LOOK_EVERY_S, LOOK_WITHIN_S = 30.0, 2.0
"""For partitions that were added: as often as a client that subscribes to a topic notices them."""


class Seat:
    """A member of the monitors' group. Who has the seat reads everything, the others nothing.

    The detector needs the whole picture, and a group shares out partitions among its members. So a member subscribes
    to `registrations` alone, whose first partition is the seat; who is given it assigns itself all partitions of all
    that a monitor reads. They are read from what the group has committed, and committed to it, like any others.

    Guarantees:
        * The coordinator gives the seat to the next one when the last one has given it up, or was silent for a
          session (`VIGIL_MANAGER_SESSION_S`). `taken` has returned before anything is read.
        * One who was silent and does not know it yet may still read and decide, but commits nothing: `taken` takes
          the transactional id away from it, and its generation of the group, which goes with the offsets of a
          transaction, is over.
        * A standby that comes or goes takes nothing away from who has the seat (the sticky assignor, cooperatively):
          it reads on, and its watch over silence is not interrupted.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there.
    """

    def __init__(
        self,
        settings: Settings,
        slot: int,
        admin: AdminClient,
        *,
        taken: Callable[[], None],
        left: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        """`taken`: to be done before the first record; `left`: before the seat goes to another, who waits for it;
        `lost`: another may have it already."""
        self._topics = [settings.topic(name) for name in READS]
        self._bootstrap = settings.bootstrap
        self._admin, self._taken, self._left, self._lost = admin, taken, left, lost
        self._is_taken = False
        self._looked = time.monotonic()
        self._everything()
        group, session_ms = settings.group("heartbeat-monitor"), round(settings.manager_session_s * 1000)
        self.consumer = clients.consumer(
            settings.kafka,
            group,
            # The one who is started again after a crash has its place at once.
            group_instance_id=f"{group}-slot{slot}",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // HEARTBEATS_A_SESSION,
        )
        self.consumer.subscribe(
            [settings.topic(SEAT_TOPIC)], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def look_for_more(self) -> None:
        """Reads partitions that were added as well; asks every `LOOK_EVERY_S`."""
        if not self._is_taken or time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        read = {(at.topic, at.partition) for at in self.consumer.assignment()}
        try:
            found = self._everything(LOOK_WITHIN_S)
        except Unavailable:  # that Kafka is away is for others to tell
            return
        if more := [at for at in found if (at.topic, at.partition) not in read]:
            self.consumer.incremental_assign(at_committed(self.consumer, more))

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._is_taken or not _has_seat(partitions):
            consumer.incremental_assign([])  # else the client assigns what it was given
            return
        self._taken()
        # What is committed is asked for now that nobody else commits any more.
        consumer.incremental_assign(at_committed(consumer, self._everything()))
        self._is_taken, self._looked = True, time.monotonic()

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._give_up(consumer, partitions, self._left)

    def _on_lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._give_up(consumer, partitions, self._lost)

    def _give_up(self, consumer: Consumer, partitions: Sequence[TopicPartition], before: Callable[[], None]) -> None:
        if not self._is_taken or not _has_seat(partitions):
            consumer.incremental_unassign([])
            return
        self._is_taken = False
        try:
            before()
        finally:
            consumer.incremental_unassign(consumer.assignment())

    def _everything(self, within_s: float = ASK_WITHIN_S) -> list[TopicPartition]:
        """All partitions. By another client: `list_topics` of this one would, within a callback, end the process."""
        found = []
        for topic in self._topics:
            try:
                metadata = self._admin.list_topics(topic, timeout=within_s).topics[topic]
            except KafkaException as error:
                raise Unavailable(f"Kafka at {self._bootstrap} does not answer: {error.args[0].str()}") from error
            if metadata.error is not None:
                raise Unavailable(
                    f"no topic {topic} at {self._bootstrap} ({metadata.error.str()}); `vigil up` creates it"
                )
            found += [TopicPartition(topic, partition) for partition in sorted(metadata.partitions)]
        return found


def _has_seat(partitions: Sequence[TopicPartition]) -> bool:
    return any(at.partition == SEAT_PARTITION for at in partitions)
