"""Threads that each keep one connection and send one bulk request at a time."""

from __future__ import annotations

import queue
import threading
import time
from typing import NamedTuple

from streaming.elastic import bulk
from streaming.elastic.access import ElasticAccess
from streaming.elastic.connection import Connection, Response
from streaming.errors import Unavailable
from streaming.indexer.batch import Request
from streaming.worker.metrics import INDEXER_BULK_SECONDS

ABORTED_WITHIN_S = 0.5
"""A request that is broken off fails at once; only a connect to a machine that is silent goes on."""


class Answered(NamedTuple):
    """A request and its answer, or why there is none; when it was sent (monotonic) and how long that took (s)."""

    request: Request
    answer: Response | Unavailable
    sent_at: float
    seconds: float


class Senders:
    """Requests in, answers out, in any order. The threads only wait for the server; all deciding is the caller's."""

    def __init__(self, server: ElasticAccess | str, count: int) -> None:
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answered | BaseException] = queue.SimpleQueue()
        self._failed = False
        self._connections = [Connection(server) for _ in range(count)]
        # Daemons: a connect that hangs must not keep the process from ending; what they carry is safe to lose.
        self._threads = [
            threading.Thread(target=self._work, args=(connection,), name=f"bulk-{number}", daemon=True)
            for number, connection in enumerate(self._connections)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Sends it as soon as a connection is free."""
        self._jobs.put(request)

    def answers(self, wait_s: float) -> list[Answered]:
        """All that have come; waits up to `wait_s` for the first.

        Raises:
            BaseException: what first ended a thread, whatever it was. Its request would never be answered, so its
                batch would never end and no offset be committed again: the worker must end, and be seen to.
        """
        found: list[Answered] = []
        try:
            come = self._answers.get(timeout=wait_s) if wait_s > 0 else self._answers.get_nowait()
            while True:
                if not isinstance(come, BaseException):
                    found.append(come)
                elif not self._failed:
                    self._failed = True
                    raise come
                come = self._answers.get_nowait()
        except queue.Empty:
            return found

    def close(self) -> None:
        """Breaks off what is under way, and ends the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for connection in self._connections:
            connection.abort()
        for thread in self._threads:
            thread.join(ABORTED_WITHIN_S)

    def _work(self, connection: Connection) -> None:
        try:
            while (request := self._jobs.get()) is not None:
                self._answers.put(_send(connection, request))
            connection.close()
        except BaseException as error:  # noqa: BLE001 - nothing may end a thread unseen: see `answers`
            self._answers.put(error)


def _send(connection: Connection, request: Request) -> Answered:
    sent_at = time.monotonic()
    try:
        answer: Response | Unavailable = bulk.send(connection, request.items())
    except Unavailable as error:
        answer = error
    seconds = time.monotonic() - sent_at
    INDEXER_BULK_SECONDS.observe(seconds)
    return Answered(request, answer, sent_at, seconds)
