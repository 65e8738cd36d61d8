"""Fifty nodes that log at a steady pace, send again what was not acknowledged, and know what was."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from streaming.forward.sender import ForwardError, ForwardSender, chunk_of, pack_entry

CHUNKS_PER_S = 2
"""Of each producer. 50 producers make 100 chunks a second, as so many services with a flush of half a second would."""

SERVICE = "chaos"
LEVELS = ("INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "WARN", "ERROR")


def node_name(number: int) -> str:
    """Producer's node, by its number."""
    return f"chaos-{number:02}"


class Producer:
    """One node: `events` logs numbered from 0, in order, over `seconds`, to one accumulator.

    A chunk is sent until it is acknowledged, always under the same id, before the next one is made. So what the
    accumulator says it has is exactly 0 to `acknowledged` - 1, and each of these must come out once.
    """

    def __init__(self, number: int, port: int, events: int, seconds: float) -> None:
        self.node = node_name(number)
        self.acknowledged = 0
        self.resends = 0
        self._port, self._events, self._seconds = port, events, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.node, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Gives up what is left to send, after the chunk at hand is acknowledged or refused once more."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        sender = ForwardSender("127.0.0.1", self._port, timeout_s=5.0)
        chunks = max(1, int(self._seconds * CHUNKS_PER_S))
        began = time.monotonic()
        for number in range(chunks):
            first, last = self._events * number // chunks, self._events * (number + 1) // chunks
            due = began + number / CHUNKS_PER_S
            if self._stop.wait(max(0.0, due - time.monotonic())) or not self._deliver(sender, first, last):
                break
        sender.close()

    def _deliver(self, sender: ForwardSender, first: int, last: int) -> bool:
        now_ns = time.time_ns()
        chunk = chunk_of("chaos.log", [pack_entry(now_ns, self._log(n, now_ns)) for n in range(first, last)])
        while True:
            try:
                sender.send_chunk(chunk)
            except ForwardError:
                self.resends += 1
                if self._stop.wait(0.2):
                    return False
            else:
                self.acknowledged = last
                return True

    def _log(self, number: int, now_ns: int) -> dict[str, object]:
        level = LEVELS[number % len(LEVELS)]
        record: dict[str, object] = {
            "log_id": f"{self.node}-{number}",
            "node_id": self.node,
            "log_level": level,
            "message_type": "LOG",
            "message": f"request {number} of {self.node} was handled by the worker in the usual way",
            "service_name": SERVICE,
            "timestamp": datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(),
        }
        if level == "WARN":
            record |= {"response_time_ms": 812, "threshold_limit_ms": 500}
        if level == "ERROR":
            record["error_details"] = {"error_code": "CHAOS", "error_message": "the chaos test says so"}
        return record


def producers(count: int, ports: Sequence[int], events: int, seconds: float) -> list[Producer]:
    """`events` in all, shared by `count` nodes, each with one of the accumulators."""
    return [
        Producer(n, ports[n % len(ports)], events * (n + 1) // count - events * n // count, seconds)
        for n in range(count)
    ]
