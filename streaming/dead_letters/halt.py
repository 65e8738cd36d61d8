"""When a worker stops instead of setting records aside: when the fault is more likely ours than the records'."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from streaming.dead_letters.letters import Letter
from streaming.errors import VigilError
from streaming.events.coordinates import REPLAY_HEADER


class TooManyDeadLetters(VigilError):
    """Most of what is read is refused: then the fault is ours or the configuration's, not the records'."""


class _Batch(NamedTuple):
    """What became of one batch. `suspects` are the keys of its dead letters, three at most."""

    read: int
    reasons: Counter[str]
    suspects: frozenset[bytes | None]


_NOTHING = _Batch(0, Counter(), frozenset())

_OURS = "elasticsearch:"
"""Reasons that begin so are no sender's doing: the schema firewall makes documents of anything."""


class HaltGuard:
    """Watches for two things, each over whole batches:

    - the share of dead letters among the last 1,000 records or more is over `ratio`;
    - `run` records or more in a row were dead letters of one reason, and nothing in between was not (0: not watched).

    Neither halts where all those dead letters have one and the same key, which means that one node wrote them: one
    bad node must not stop the logs of all others. Where Elasticsearch refuses documents it halts even so. What a
    replay brought back and what fails again counts for nothing: somebody tried, and will look.
    """

    WINDOW = 1000

    def __init__(self, ratio: float, run: int = 0) -> None:
        self._ratio, self._run = ratio, run
        self._batches: deque[_Batch] = deque()
        self._in_a_row = _NOTHING

    def observe(self, read: int, letters: Iterable[Letter]) -> None:
        """Takes in one batch of so many records, before its dead letters are written and its offsets committed.

        Raises:
            TooManyDeadLetters: names the top reasons and the remedy. Do not write this batch.
        """
        batch = _batch(read, letters)
        if not batch.read:
            return
        self._batches.append(batch)
        while sum(b.read for b in self._batches) - self._batches[0].read >= self.WINDOW:
            self._batches.popleft()
        self._in_a_row = self._row_with(batch)
        self._look_at_share(_sum(self._batches))
        self._look_at_row(self._in_a_row)

    def _row_with(self, batch: _Batch) -> _Batch:
        """The run as it is after the batch: ended by what succeeds, begun anew by another reason."""
        if batch.reasons.total() < batch.read:
            return _NOTHING
        same = self._in_a_row.reasons.keys() == batch.reasons.keys()
        return _sum([self._in_a_row, batch]) if same else batch

    def _look_at_share(self, window: _Batch) -> None:
        dead = window.reasons.total()
        if window.read >= self.WINDOW and dead > self._ratio * window.read and not _one_to_blame(window):
            raise TooManyDeadLetters(
                f"{dead} of the last {window.read} records would be dead letters: {_top(window)}. Stopped instead of "
                "setting them aside. Mend the cause and start again, or let them through with "
                "VIGIL_DEAD_LETTER_HALT_RATIO=1; `vigil dead-letters replay` brings them back later"
            )

    def _look_at_row(self, row: _Batch) -> None:
        if self._run and row.read >= self._run and len(row.reasons) == 1 and not _one_to_blame(row):
            raise TooManyDeadLetters(
                f"{row.read} records in a row would be dead letters: {_top(row)}, of several nodes. "
                "Stopped instead of setting them aside. Mend the cause and start again, or let them through with "
                "VIGIL_DEAD_LETTER_HALT_RUN=0; `vigil dead-letters replay` brings them back later"
            )


def _batch(read: int, letters: Iterable[Letter]) -> _Batch:
    reasons: Counter[str] = Counter()
    suspects: set[bytes | None] = set()
    for letter in letters:
        if REPLAY_HEADER in dict(letter.message.headers() or ()):
            read -= 1
            continue
        reasons[letter.reason] += 1
        if len(suspects) < 3:
            suspects.add(letter.message.key())
    return _Batch(read, reasons, frozenset(suspects))


def _sum(batches: Iterable[_Batch]) -> _Batch:
    read, reasons, suspects = 0, Counter[str](), set[bytes | None]()
    for batch in batches:
        read += batch.read
        reasons.update(batch.reasons)
        suspects |= batch.suspects
    return _Batch(read, reasons, frozenset(suspects))


def _one_to_blame(seen: _Batch) -> bool:
    """Whether all came from one node. Records without a key may be of any."""
    return (
        len(seen.suspects) == 1
        and None not in seen.suspects
        and not any(reason.startswith(_OURS) for reason in seen.reasons)
    )


def _top(seen: _Batch) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in seen.reasons.most_common(3))
