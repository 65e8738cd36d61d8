"""Items into an index that is being filled: every one made or there already, or the reindexing ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.elastic.connection import Connection
from streaming.errors import Unavailable, VigilError

GIVE_UP_S = 300.0
"""Elasticsearch may be away or busy for so long; after that the old indices are in force as they were."""
PAUSE_S = 1.0

_WAITS = (Verdict.RETRY, Verdict.BLOCKED)


class NotAccepted(VigilError):
    """A document that the fresh index will not take. Nothing was put in force."""


class Writer:
    """Sends items, a request at a time, and counts which were new."""

    def __init__(self, connection: Connection, pause: Callable[[float], None] = time.sleep) -> None:
        self._connection, self._pause = connection, pause

    def write(self, items: Sequence[bytes]) -> int:
        """Returns when all are in the index; how many of them were not there before.

        Raises:
            NotAccepted: an item is refused for what it is.
            Unavailable: Elasticsearch is away or busy for longer than `GIVE_UP_S`.
        """
        return sum(self._settle(items[part]) for part in bulk.chunks([len(item) for item in items]))

    def _settle(self, items: Sequence[bytes]) -> int:
        made, attempts, give_up = 0, 0, time.monotonic() + GIVE_UP_S
        while items:
            attempts += 1
            verdicts, why = self._send(items, attempts)
            made += sum(v is Verdict.DONE for v in verdicts)
            items = [i for i, v in zip(items, verdicts, strict=True) if v in _WAITS]
            if items:
                if time.monotonic() > give_up:
                    raise Unavailable(f"Elasticsearch takes no documents for {GIVE_UP_S:g} s: {why}")
                self._pause(PAUSE_S)
        return made

    def _send(self, items: Sequence[bytes], attempts: int) -> tuple[list[Verdict], str]:
        try:
            answer = bulk.read_answer(bulk.send(self._connection, items), len(items), attempts)
        except Unavailable as error:
            return [Verdict.RETRY] * len(items), str(error)
        if answer is None:
            return [Verdict.DONE] * len(items), ""
        if isinstance(answer, Whole):
            return self._refused(items, answer, attempts)
        return list(_checked(answer)), next((o.detail for o in answer if o.verdict in _WAITS), "")

    def _refused(self, items: Sequence[bytes], whole: Whole, attempts: int) -> tuple[list[Verdict], str]:
        if not whole.split:
            return [Verdict.RETRY] * len(items), whole.reason
        if len(items) == 1:
            raise NotAccepted(f"Elasticsearch refuses a document: {whole.reason}")
        half = len(items) // 2
        first, why = self._send(items[:half], attempts)
        second, also = self._send(items[half:], attempts)
        return first + second, why or also


def _checked(outcomes: Sequence[Outcome]) -> Iterator[Verdict]:
    for outcome in outcomes:
        if outcome.verdict in (Verdict.DEAD_LETTER, Verdict.NO_INDEX):
            raise NotAccepted(f"Elasticsearch refuses a document: {outcome.reason}: {outcome.detail}")
        yield outcome.verdict
