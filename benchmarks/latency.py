"""From the write to an accumulator's socket to the request at the receiver."""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from benchmarks.receiver import Receiver
from benchmarks.workload import events
from streaming.forward.sender import ForwardSender, PipelinedSender, make_chunk

ARRIVES_WITHIN_S = 30.0
CHUNK = 50
"""Events a chunk under load: at 5,000 a second a chunk every 10 ms."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds over `probes` errors, each of a group of its own, so that each is a message."""

    probes: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def measure(ports: Sequence[int], receiver: Receiver, probes: int, every_s: float, run: str) -> Latency:
    """Sends an ERROR to the accumulators in turn, and waits for its message.

    Raises:
        RuntimeError: one did not arrive within `ARRIVES_WITHIN_S`.
    """
    senders = [ForwardSender("127.0.0.1", port) for port in ports]
    taken_ms: list[float] = []
    for number in range(probes):
        code = f"PROBE-{run}-{number}"
        sender = senders[number % len(senders)]
        began_ns = time.time_ns()
        sender.send("bench.probe", [(began_ns, _probe(code, began_ns))])
        arrived_ns = receiver.first_seen_ns(code, ARRIVES_WITHIN_S)
        if arrived_ns is None:
            raise RuntimeError(f"no message for {code} within {ARRIVES_WITHIN_S:g} s")
        taken_ms.append((arrived_ns - began_ns) / 1e6)
        time.sleep(max(0.0, every_s - (time.time_ns() - began_ns) / 1e9))
    for sender in senders:
        sender.close()
    return Latency(
        probes,
        round(statistics.median(taken_ms), 1),
        round(sorted(taken_ms)[min(len(taken_ms) - 1, int(0.99 * len(taken_ms)))], 1),
        round(max(taken_ms), 1),
    )


def _probe(code: str, now_ns: int) -> dict[str, object]:
    return {
        "log_id": code,
        "node_id": "probe-1",
        "log_level": "ERROR",
        "message_type": "LOG",
        "message": f"probe {code}",
        "service_name": "bench-probe",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ns // 1_000_000_000)),
        "error_details": {"error_code": code, "error_message": "a probe"},
    }


class Load:
    """A steady load from a process of its own, over all accumulators."""

    def __init__(self, ports: Sequence[int], per_second: int, run: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._process = context.Process(target=_send_steadily, args=(tuple(ports), per_second, run, self._stop))
        self._process.start()

    def stop(self) -> None:
        """Ends the load.

        Raises:
            RuntimeError: it had ended by itself, so what was measured was not under load.
        """
        alive = self._process.is_alive()
        self._stop.set()
        self._process.join(30)
        if not alive or self._process.exitcode != 0:
            raise RuntimeError(f"the load ended by itself (exit {self._process.exitcode})")


def _send_steadily(ports: Sequence[int], per_second: int, run: str, stop: Event) -> None:
    senders = [PipelinedSender("127.0.0.1", port) for port in ports]
    source = events(None, run)
    began, sent = time.monotonic(), 0
    while not stop.is_set():
        chunk = make_chunk("bench.load", list(itertools.islice(source, CHUNK)))
        senders[sent // CHUNK % len(senders)].send_nowait(chunk)
        sent += CHUNK
        ahead_s = sent / per_second - (time.monotonic() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)
    for sender in senders:
        sender.drain()
        sender.close()
