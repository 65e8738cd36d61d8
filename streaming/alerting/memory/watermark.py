"""How far time has come, as the matchers tell it: what silence may be concluded from."""

from __future__ import annotations

from streaming.alerting.memory.records import ProgressRecord
from streaming.alerting.messages import Progress

SETTLE_MS = 30_000
"""Where nobody said how many partitions there are, they are all known when for so long no new one was told of. A
member that dies before its first word is out of its group after a session (10 s), and another tells of its partitions
a second later."""


class Watermark:
    """The time, in ms, up to which every log was evaluated, whatever its partition. It never goes back by itself.

    It is the least of what matchers told of the partitions. It stands still while a partition is missing: one that
    was told of before and whose matcher is away (after the rebalance another one tells of it), and one that must be
    there since `partitions` says so, or since partitions are numbered from 0 without gaps.

    Bounded: one entry for each partition of `logs`.
    """

    def __init__(self, partitions: int | None = None) -> None:
        self._partitions = partitions
        self._reached: dict[int, tuple[int, str]] = {}
        self._grew_ms = 0
        self.at_ms: int | None = None
        """None: not known yet."""

    def take(self, progress: Progress, now_ms: int) -> None:
        """A matcher tells how far it is. A clock that is ahead of this machine's is taken for this one."""
        for partition, told_ms in progress.partitions.items():
            before = self._reached.get(partition)
            if before is None:
                self._grew_ms = now_ms
            reached_ms = max(before[0] if before else 0, min(told_ms, now_ms))
            self._reached[partition] = (reached_ms, progress.rules_version)
        if self._is_whole(now_ms):
            least = min(reached_ms for reached_ms, _ in self._reached.values())
            self.at_ms = max(self.at_ms or 0, least)

    def _is_whole(self, now_ms: int) -> bool:
        known = len(self._reached)
        if not known or known <= max(self._reached):
            return False
        return known >= self._partitions if self._partitions is not None else now_ms - self._grew_ms >= SETTLE_MS

    def agrees(self, rules_version: str) -> bool:
        """Whether all partitions were last evaluated by this rule set."""
        return bool(self._reached) and all(version == rules_version for _, version in self._reached.values())

    def clock_was_set(self, by_ms: int) -> None:
        """The clock was set by so much. Back: time would else stand still until it is again what it was."""
        self._grew_ms += by_ms
        if by_ms < 0:
            self._reached = {p: (max(0, ms + by_ms), version) for p, (ms, version) in self._reached.items()}
            self.at_ms = None if self.at_ms is None else max(0, self.at_ms + by_ms)

    def record(self) -> ProgressRecord:
        """As it is kept."""
        return ProgressRecord(dict(self._reached), self.at_ms, self._grew_ms)

    def restore(self, record: ProgressRecord) -> None:
        """Goes on from what was kept. Partitions that `logs` does not have any more, since it was made anew with fewer,
        would stand still for ever."""
        most = self._partitions
        self._reached = {p: at for p, at in record.reached.items() if most is None or p < most}
        self.at_ms, self._grew_ms = record.watermark_ms, record.grew_ms
