"""Bulk requests on their way: those that wait for their turn, for their time, or for their answer."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable

from streaming.errors import Unavailable
from streaming.indexer import backoff, batch
from streaming.indexer.batch import Next, Request
from streaming.indexer.pace import Pace
from streaming.indexer.senders import Answered, Senders
from streaming.worker import metrics
from streaming.worker.logs import logger

log = logger(__name__)


class Writer:
    """Sends requests as `Pace` lets it, again after a while where that is asked for, and hands back the answers.

    For one thread. Nothing here decides about documents: that is batch.py.
    """

    def __init__(self, senders: Senders, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = Pace()
        self._senders = senders
        self._clock = clock
        self._ready: deque[Request] = deque()
        self._later: list[tuple[float, Request]] = []
        self._under_way = 0

    @property
    def in_trouble(self) -> bool:
        """Requests wait to be sent again: no time to begin new ones."""
        return bool(self._later)

    def send(self, requests: Iterable[Request]) -> None:
        """Sends them when their turn has come."""
        self._ready.extend(requests)
        self._dispatch()

    def send_later(self, request: Request, retry_after_s: float | None) -> None:
        """Sends it when the server has had some rest."""
        wait = backoff.delay_s(request.attempts, retry_after_s, random.random())  # noqa: S311 - spreads load
        self._later.append((self._clock() + wait, request))

    def answers(self, wait_s: float) -> list[Answered]:
        """The answers that have come; waits up to `wait_s` for the first.

        Raises:
            BaseException: what ended a sending thread.
        """
        self._dispatch()
        found = self._senders.answers(min(wait_s, self._next_s()))
        self._under_way -= len(found)
        return found

    def learn(self, answered: Answered, follows: Next) -> None:
        """Adapts the pace to an answer and what followed from it, and sends what has room now."""
        request, answer, sent_at, seconds = answered
        now, size = self._clock(), request.size
        if follows.later is not None or follows.blocked is not None:
            why = "unavailable" if isinstance(answer, Unavailable) else follows.reason
            if self.pace.refused(sent_at, now, follows.retry_after_s):
                metrics.INDEXER_SLOWED.labels(why).inc()
        elif not isinstance(answer, Unavailable) and answer.status == 413:
            self.pace.too_large(size)
        elif not follows.now:
            self.pace.taken(size, seconds, full=bool(self._ready) or self._under_way + 1 >= self.pace.in_flight)
        metrics.INDEXER_WINDOW_BYTES.set(self.pace.window)
        self._dispatch()

    def close(self) -> None:
        """Breaks off what is under way."""
        self._senders.close()

    def _dispatch(self) -> None:
        now = self._clock()
        if self._later:
            self._ready.extend(request for when, request in self._later if when <= now)
            self._later = [(when, request) for when, request in self._later if when > now]
        while self._ready and self.pace.may_send(now, self._under_way):
            request, *rest = batch.cut(self._ready.popleft(), self.pace.request_bytes)
            self._ready.extendleft(reversed(rest))
            request.attempts += 1
            self._under_way += 1
            self._senders.submit(request)

    def _next_s(self) -> float:
        """Seconds until something is due."""
        now = self._clock()
        due = [when for when, _ in self._later]
        if self._ready and now < self.pace.held_until:
            due.append(self.pace.held_until)
        return max(0.0, min(due) - now) if due else float("inf")
