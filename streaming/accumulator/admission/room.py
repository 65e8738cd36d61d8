"""Room in the spool: the limit, what happens at it, and who gets the last part of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from streaming.accumulator.configuration.plan import Buffer

Overflow = Literal["block", "throw_exception", "drop_oldest_chunk"]
KEEPS_MOST: tuple[Overflow, ...] = ("block", "throw_exception", "drop_oldest_chunk")

LAST_PART = 10
"""The last tenth of the limit is shared out."""
ACTIVE_S = 60.0
"""A flow that sent within so long has a share in the last part."""
FLOWS_KEPT = 4096


@dataclass(frozen=True)
class Limit:
    """Bytes of the spool, and Fluentd's `overflow_action` past them.

    `block`: senders are not read from. `throw_exception`: what arrives is refused at once, without an acknowledgement.
    `drop_oldest_chunk`: the oldest segment that is not on its way yet is dropped, counted and reported.
    """

    bytes: int
    overflow: Overflow


def limit_of(buffers: Sequence[Buffer]) -> Limit:
    """One spool serves all outputs: their limits together, and of their policies the one that keeps most. So nothing
    is dropped unless all of them say so."""
    wanted = {buffer.overflow_action for buffer in buffers}
    kept = next(overflow for overflow in KEEPS_MOST if overflow in wanted)
    return Limit(sum(buffer.total_limit_size for buffer in buffers), kept)


class Room:
    """Who may take how much of a spool. Times are seconds of one clock.

    While Kafka is away everyone may fill the spool. In the last part each flow may take its share alone, which is
    that part by the number of flows (and one more, for a newcomer): so one that floods the spool finds it full long
    before the others do.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._seen: dict[Hashable, float] = {}
        self._used: dict[Hashable, int] = {}
        """Of the last part, by flow."""

    def see(self, flow: Hashable, now: float) -> None:
        """A flow sends something."""
        self._seen.pop(flow, None)
        self._seen[flow] = now
        if len(self._seen) > FLOWS_KEPT:
            del self._seen[next(iter(self._seen))]

    def full(self, backlog: int) -> bool:
        """Whether nothing more is taken."""
        return self.limit.overflow != "drop_oldest_chunk" and backlog >= self.limit.bytes

    def begin(self, backlog: int, now: float) -> None:
        """A look at the spool before shares are asked for."""
        for flow in [f for f, seen in self._seen.items() if now - seen > ACTIVE_S]:
            del self._seen[flow]
        self._backlog = backlog
        self._in_last_part = backlog >= self.limit.bytes - self.limit.bytes // LAST_PART
        if not self._in_last_part:
            self._used.clear()

    def may(self, flow: Hashable, size: int) -> bool:
        """Whether this flow may take so much now."""
        if self.limit.overflow == "drop_oldest_chunk":
            return True
        if self._backlog >= self.limit.bytes:
            return False  # one that only passes the limit is taken: a chunk of any size must go through some time
        return not self._in_last_part or self._used.get(flow, 0) + size <= self.share

    @property
    def share(self) -> int:
        """Of each flow in the last part."""
        return self.limit.bytes // LAST_PART // (len(self._seen) + 1)

    def took(self, flow: Hashable, size: int) -> None:
        """It did."""
        self._backlog += size
        if self._in_last_part:
            self._used[flow] = self._used.get(flow, 0) + size
