"""Threads that each keep one connection and send one bulk request at a time."""

from __future__ import annotations

import queue
import threading
from typing import NamedTuple

from streaming.elastic import bulk
from streaming.elastic.connection import Connection, Response
from streaming.errors import Unavailable
from streaming.indexer.batch import Request
from streaming.worker.metrics import INDEXER_BULK_SECONDS


class Answered(NamedTuple):
    """A request and its answer, or why there is none."""

    request: Request
    answer: Response | Unavailable


class Senders:
    """Requests in, answers out, in any order. The threads only wait for the server; all deciding is the caller's."""

    def __init__(self, url: str, count: int) -> None:
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answered] = queue.SimpleQueue()
        self._connections = [Connection(url) for _ in range(count)]
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
        """All that have come; waits up to `wait_s` for the first."""
        found: list[Answered] = []
        try:
            found.append(self._answers.get(timeout=wait_s) if wait_s > 0 else self._answers.get_nowait())
            while True:
                found.append(self._answers.get_nowait())
        except queue.Empty:
            return found

    def close(self) -> None:
        """Breaks off what is under way, and ends the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for connection in self._connections:
            connection.abort()

    def _work(self, connection: Connection) -> None:
        while (request := self._jobs.get()) is not None:
            try:
                with INDEXER_BULK_SECONDS.time():
                    answer: Response | Unavailable = bulk.send(connection, request.items())
            except Unavailable as error:
                answer = error
            self._answers.put(Answered(request, answer))
        connection.close()
