"""Queues of what wants to be admitted, one for each flow, served by turns so that each gets the same bytes.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) with overdraft: a flow whose turn it is may take an item
larger than its credit, and then waits until its turns have paid for it. Within a flow, order is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

QUANTUM = 64 * 1024
"""Bytes that a turn adds to a flow's credit: a chunk of a service at its usual rate passes at once."""
DEBTORS = 1024
"""Flows that have nothing waiting but took more than their turns; past that the oldest are forgiven."""


class _Flow(Generic[T]):
    def __init__(self) -> None:
        self.credit = QUANTUM
        self.waiting: deque[tuple[T, int]] = deque()


class FairQueues(Generic[T]):
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._flows: dict[Hashable, _Flow[T]] = {}
        """Those with something waiting or with a debt."""
        self._count = 0
        self.bytes = 0
        """Of all that waits."""

    def __len__(self) -> int:
        return self._count

    def put(self, key: Hashable, item: T, size: int) -> None:
        """Behind what waits of its flow."""
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow()
        flow.waiting.append((item, size))
        self._count += 1
        self.bytes += size

    def take(
        self,
        budget: float,
        may: Callable[[Hashable, int], bool] = lambda _key, _size: True,
        took: Callable[[Hashable, int], None] = lambda _key, _size: None,
    ) -> list[T]:
        """Items until `budget` bytes are used (the last may go beyond), of flows in turn.

        `may(flow, size)` is asked before each and says whether this flow may have so much now; `took` hears that it
        did.
        """
        taken: list[T] = []
        left = budget
        while self._count and left > 0:
            served = False
            for key, flow in list(self._flows.items()):
                before = len(taken)
                while flow.waiting and flow.credit > 0 and left > 0 and may(key, flow.waiting[0][1]):
                    item, size = flow.waiting.popleft()
                    flow.credit -= size
                    left -= size
                    self._count -= 1
                    self.bytes -= size
                    taken.append(item)
                    took(key, size)
                if len(taken) > before:
                    served = True
                    self._to_the_end(key, flow)
            if not served and not self._add_credit(may):
                break
        return taken

    def take_all(self) -> list[T]:
        """Everything, each flow in its order."""
        taken = [item for flow in self._flows.values() for item, _ in flow.waiting]
        self._flows.clear()
        self._count = self.bytes = 0
        return taken

    def _to_the_end(self, key: Hashable, flow: _Flow[T]) -> None:
        del self._flows[key]
        if flow.waiting or flow.credit < 0:
            self._flows[key] = flow

    def _add_credit(self, may: Callable[[Hashable, int], bool]) -> bool:
        """So many turns at once that one flow has credit again; false where none may take anything."""
        debts = [-f.credit for k, f in self._flows.items() if f.waiting and may(k, f.waiting[0][1])]
        if not debts:
            return False
        turns = min(debts) // QUANTUM + 1
        for key, flow in list(self._flows.items()):
            flow.credit = min(QUANTUM, flow.credit + turns * QUANTUM)
            if not flow.waiting and (flow.credit >= 0 or len(self._flows) > DEBTORS):
                del self._flows[key]
        return True
