"""Where partitions of `logs` end, asked without waiting for the answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from confluent_kafka import KafkaException

from streaming.kafka import bounds, clients
from streaming.kafka.access import KafkaAccess
from streaming.worker.logs import logger

log = logger(__name__)

ANSWER_WITHIN_S = 5.0


class End(NamedTuple):
    """When it was asked, the partition's committed records were those from `first` to before `end`."""

    partition: int
    first: int
    end: int
    at_ms: int


class Ends:
    """One question at a time, by a client of its own. Asked by the matcher's consumer, behind its fetch, five idle
    partitions took 0.5 s of every 1.3 s, and the alerts of the sixth waited as long."""

    def __init__(self, kafka: KafkaAccess, topic: str) -> None:
        self._admin, self._topic = clients.admin(kafka), topic
        self._at_ms = 0
        self._asked: dict[int, tuple[bounds.Answer, bounds.Answer]] = {}
        self._failing = False

    @property
    def awaited(self) -> bool:
        """A question is open."""
        return bool(self._asked)

    def ask(self, partitions: Collection[int], at_ms: int) -> None:
        """Asks; what was asked before and not answered yet is of no interest any more."""
        if not partitions:
            return
        places = [(self._topic, partition) for partition in partitions]
        firsts, ends = (bounds.ask(self._admin, places, which, ANSWER_WITHIN_S) for which in (bounds.START, bounds.END))
        self._at_ms = at_ms
        self._asked = {place[1]: (firsts[place], ends[place]) for place in places}

    def answers(self) -> list[End]:
        """Those that have come since this was last called."""
        come = [partition for partition, answers in self._asked.items() if all(answer.done() for answer in answers)]
        found = []
        for partition in come:
            first, end = self._asked.pop(partition)
            try:
                found.append(End(partition, first.result().offset, end.result().offset, self._at_ms))
            except KafkaException as error:
                self._tell(partition, error)
        self._failing = self._failing and not found
        return found

    def _tell(self, partition: int, error: KafkaException) -> None:
        if not self._failing:
            log.warning("cannot ask for the end of a partition", partition=partition, reason=error.args[0].str())
        self._failing = True
