"""What is admitted to the spool next, what waits, and what is refused. Pure: chunks, the spool's state, a clock in."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from streaming.accumulator.admission.allowance import Allowance
from streaming.accumulator.admission.fair_queues import FairQueues
from streaming.accumulator.admission.room import Limit, Room

T = TypeVar("T")

BATCH_BYTES = 8 * 1024 * 1024
"""Most that one commit takes: 50 ms of a disk that writes 160 MB/s, for which all others wait."""


class State(NamedTuple):
    """Of the spool: bytes not delivered, bytes not confirmed by Kafka, bytes confirmed since the start."""

    backlog: int
    waiting: int
    settled: int


class Decision(NamedTuple, Generic[T]):
    """What goes to the spool now, in this order, and what its sender must keep."""

    admit: list[T]
    refuse: list[T]


class Gate(Generic[T]):
    """Fair shares among flows, each in its own order.

    A flow is what has one source label and tag, which is what a service sends under. Flows take turns of equal bytes
    (`FairQueues`) at what may be spooled now (`Allowance`), within the limit (`Room`). A service that sends a
    hundred times what it used to waits for its turns, with its chunks unacknowledged and its connection, past some
    bytes, not read from; the others' chunks pass it. Not for several threads at once.
    """

    def __init__(self, limit: Limit, target_s: float, now: float) -> None:
        self._queues: FairQueues[tuple[T, int]] = FairQueues()
        self._allowance = Allowance(target_s, now)
        self._room = Room(limit)

    def __len__(self) -> int:
        return len(self._queues)

    @property
    def limit(self) -> Limit:
        """That of the spool."""
        return self._room.limit

    def full(self, state: State) -> bool:
        """Whether nothing is taken."""
        return self._room.full(state.backlog)

    def offer(self, flow: Hashable, item: T, size: int, now: float) -> None:
        """A chunk has arrived."""
        self._room.see(flow, now)
        self._queues.put(flow, (item, size), size)

    def decide(self, state: State, now: float) -> Decision[T]:
        """What to do with what has arrived. Where nothing is admitted it is held; ask again soon."""
        room = self._room
        room.begin(state.backlog, now)
        budget = min(BATCH_BYTES, self._allowance.bytes(now, state.waiting, state.settled))
        admitted = self._queues.take(budget, room.may, room.took)
        self._allowance.spend(sum(size for _, size in admitted))
        refused: list[tuple[T, int]] = []
        if room.limit.overflow == "throw_exception":
            refused = self._queues.take(math.inf, lambda flow, size: not room.may(flow, size))
        return Decision([item for item, _ in admitted], [item for item, _ in refused])

    def take_all(self) -> list[T]:
        """All that waits, each flow in its order."""
        return [item for item, _ in self._queues.take_all()]
