"""The background thread that carries logs from the buffer to the accumulator, each chunk until it is acknowledged."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from microservices.client.buffer import Buffer, Drops
from streaming.forward.sender import RETRY_PAUSE_S, Chunk, ForwardError, chunk_of

LINGER_S = 0.02
"""Wait after the first log of a chunk for more: at 1,000 logs/s 20 logs share one disk write of the accumulator."""

MAX_CHUNK_ENTRIES = 1_000
MAX_CHUNK_BYTES = 512 * 1024
"""Half of Kafka's default message limit, which a real Fluentd behind the port must keep a chunk's records within."""

IDLE_ROUND_S = 1.0


class ChunkSender(Protocol):
    """What the shipper sends with: `ForwardSender`, or a test's."""

    def send_chunk(self, chunk: Chunk) -> None:
        """Sends and waits for the acknowledgement; raises `ForwardError`."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class Link:
    """Whether an accumulator answers, told on standard error once per change."""

    def __init__(
        self,
        what: str,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self.say, self._clock = what, say or _to_stderr, clock
        self._lost_at: float | None = None

    @property
    def up(self) -> bool:
        """False between a failure and the next success."""
        return self._lost_at is None

    def lost(self, error: ForwardError) -> None:
        """A send failed."""
        if self._lost_at is None:
            self._lost_at = self._clock()
            self.say(f"vigil: {error}; {self._what}")

    def works(self, detail: str = "") -> None:
        """A send was acknowledged."""
        if self._lost_at is not None:
            away = self._clock() - self._lost_at
            self._lost_at = None
            self.say(f"vigil: the accumulator is back after {away:.1f} s{detail}")


class Shipper:
    """Sends what is in the buffer, oldest first, one chunk at a time; a chunk keeps its id until acknowledged.

    `report` makes the log of what was dropped; it is sent with the next chunk after an acknowledgement.
    """

    def __init__(
        self, buffer: Buffer, sender: ChunkSender, tag: str, link: Link, report: Callable[[Drops], bytes]
    ) -> None:
        self._buffer, self._sender, self._tag, self._link, self._report = buffer, sender, tag, link, report
        self._closing = threading.Event()
        self._close_at = 0.0
        self._thread = threading.Thread(target=self._run, name="vigil-shipper", daemon=True)

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Logs not yet acknowledged."""
        return self._buffer.waiting

    def close(self, within_s: float) -> int:
        """Sends what is left, for at most so long, and ends; returns how many logs were not acknowledged."""
        self._close_at = time.monotonic() + within_s
        self._closing.set()
        self._buffer.wake()
        if self._thread.is_alive():
            self._thread.join(within_s)
        return self.waiting + self._buffer.dropped

    def _run(self) -> None:
        while not self._expired():
            if self._buffer.empty:
                if self._closing.is_set():
                    break
                self._buffer.wait(IDLE_ROUND_S)
                continue
            self._closing.wait(LINGER_S)
            self._deliver(chunk_of(self._tag, self._buffer.take(MAX_CHUNK_ENTRIES, MAX_CHUNK_BYTES)))
        self._sender.close()

    def _deliver(self, chunk: Chunk) -> None:
        attempt = 0
        while not self._expired():
            try:
                self._sender.send_chunk(chunk)
            except ForwardError as error:
                self._link.lost(error)
                self._pause(RETRY_PAUSE_S[min(attempt, len(RETRY_PAUSE_S) - 1)])
                attempt += 1
            else:
                self._after_success()
                self._buffer.settle(chunk.events)
                return

    def _after_success(self) -> None:
        drops = self._buffer.take_drops()
        self._link.works(f"; {drops.total} logs were dropped" if drops else "; nothing was dropped")
        if drops:
            self._buffer.put_anyway(self._report(drops))

    def _pause(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(min(seconds, max(self._close_at - time.monotonic(), 0)))
        else:
            self._closing.wait(seconds)

    def _expired(self) -> bool:
        return self._closing.is_set() and time.monotonic() > self._close_at


def _to_stderr(text: str) -> None:
    """Standard error may be closed or gone; nothing is left then to tell it to."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
