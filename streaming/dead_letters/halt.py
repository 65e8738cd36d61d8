"""When a worker stops instead of setting records aside: then the fault is ours or the configuration's."""

from __future__ import annotations

from collections import Counter, deque

from streaming.errors import VigilError


class TooManyDeadLetters(VigilError):
    """Most of what is read is refused: then the fault is ours or the configuration's, not the records'."""


class HaltGuard:
    """Watches the share of dead letters among the last 1,000 records or more (whole batches)."""

    WINDOW = 1000

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._batches: deque[tuple[int, Counter[str]]] = deque()
        self._read = 0

    def observe(self, read: int, reasons: Counter[str]) -> None:
        """Takes in one batch, before its dead letters are written and its offsets committed.

        Raises:
            TooManyDeadLetters: the share is over the limit; names the top reasons. Do not write this batch.
        """
        self._batches.append((read, reasons))
        self._read += read
        while self._read - self._batches[0][0] >= self.WINDOW:
            self._read -= self._batches.popleft()[0]
        if self._read < self.WINDOW:
            return
        total: Counter[str] = Counter()
        for _, counted in self._batches:
            total.update(counted)
        dead = total.total()
        if dead > self._ratio * self._read:
            top = ", ".join(f"{reason} ({count})" for reason, count in total.most_common(3))
            raise TooManyDeadLetters(
                f"{dead} of the last {self._read} records would be dead letters: {top}. Stopped instead of setting "
                "them aside; VIGIL_DEAD_LETTER_HALT_RATIO=1 lets them through"
            )
