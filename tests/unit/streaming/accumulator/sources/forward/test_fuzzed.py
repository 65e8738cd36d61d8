"""Streams that were valid and then broken: their connection ends with a reason, others and the process go on."""

from __future__ import annotations

import contextlib
import gzip
import logging
import queue
import socket
import threading
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from streaming.accumulator.spool.segment import Arrived
from streaming.forward import event_time
from streaming.forward.frames import count, inflate
from tests.support.forward_receiver import WITHIN_S, Receiver, frame, wait_for

ENTRIES = [
    [event_time.encode(1_700_000_000_123_456_789), {"n": 1, "text": "x" * 40}],
    [1_700_000_000, {"list": [1, {}]}],
]
PACKED = b"".join(msgpack.packb(entry) for entry in ENTRIES)
VALID = [
    msgpack.packb(["app", ENTRIES[1][0], ENTRIES[1][1], {"chunk": "m"}]),
    msgpack.packb(["app", ENTRIES, {"chunk": "f", "size": 2}]),
    msgpack.packb(["app", PACKED, {"chunk": "p"}]),
    msgpack.packb(["app", gzip.compress(PACKED), {"chunk": "z", "compressed": "gzip"}]),
    msgpack.packb(["app", PACKED, {"chunk": "o"}], use_bin_type=False),
    b"\xc0",
]
HUGE = [
    b"\xc6\x7f\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x00",
]
"""Heads of values that claim gigabytes."""
WRONG = [
    b"\xc1",
    b"\xc3",
    b"\x81\xa1a\x01",
    b"\x91" * 2000,
    b"\xcb" + b"\x7f" * 8,
    b"\xd5\x00\x00\x00",
    b"GET / HTTP/1.1\r\n",
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Frames in a row with bits flipped, cut, spliced into each other, and wrong values and huge lengths put in."""
    stream = bytearray(b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(stream) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "splice", "wrong", "huge", "drop"])):
            case "flip" if stream:
                stream[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del stream[at:]
            case "drop":
                del stream[at : at + draw(st.integers(1, 20))]
            case "splice":
                other = draw(st.sampled_from(VALID))
                stream[at:at] = other[draw(st.integers(0, len(other))) :]
            case "wrong":
                stream[at:at] = draw(st.sampled_from(WRONG))
            case "huge":
                stream[at:at] = draw(st.sampled_from(HUGE))
    return bytes(stream)


class Served:
    """A receiver that acknowledges all and keeps it, and one sender that is always at work."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.taken: list[Arrived] = []
        self.steady = self.receiver.connect()
        self._sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                submitted = self.receiver.submitted.get(timeout=0.02)
                self.taken.append(submitted.chunk)
                submitted.done(True)

    def check_steady(self) -> None:
        """The sender at work is served."""
        self._sent += 1
        self.steady.sendall(frame(1, f"steady-{self._sent}", "steady"))
        assert msgpack.unpackb(self.steady.recv(1000)) == {"ack": f"steady-{self._sent}"}

    def close(self) -> None:
        self.steady.close()
        self._stop.set()
        self._thread.join()
        self.receiver.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def refused() -> float:
    """Connections closed so far for what they sent."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "vigil_accumulator_refused"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def send(served: Served, stream: bytes) -> bytes:
    """All that is answered until the end."""
    answers = b""
    with served.receiver.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(stream)
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(10_000):
            answers += part
    return answers


@settings(deadline=None, max_examples=200)
@given(stream=broken())
@example(stream=b"".join(VALID))
@example(stream=VALID[0] + b"\xdd\xff\xff\xff\xff" * 3)
@example(stream=b"\x93\xa3app\xc4\x05\x81\x01\xc1\xc1\xc1\x80")
def test_a_broken_stream_ends_alone(served: Served, stream: bytes) -> None:
    caught = _Errors()
    logging.getLogger("asyncio").addHandler(caught)
    try:
        served.taken.clear()
        before = refused()
        send(served, stream)
        wait_for(lambda: len(served.receiver.server.connections) == 1, WITHIN_S)
        served.check_steady()
        assert served.receiver.server.alive
        assert served.receiver.server.unfinished_bytes == 0
        for chunk in served.taken:
            assert count(inflate(chunk.body) if chunk.gzip else chunk.body) == chunk.events
        if stream == b"".join(VALID):
            assert refused() == before
            # Single events are joined only where they ask for no answer.
            assert [chunk.events for chunk in served.taken if chunk.tag == "app"] == [1, 2, 2, 2, 2]
        assert caught.messages == []
    finally:
        logging.getLogger("asyncio").removeHandler(caught)


@pytest.mark.parametrize("wrong", [*HUGE, *WRONG])
def test_what_is_wrong_is_counted(served: Served, wrong: bytes) -> None:
    """What only claims to be long is cut off by the end of the stream."""
    before = refused()
    assert msgpack.unpackb(send(served, VALID[0] + wrong)) == {"ack": "m"}
    wait_for(lambda: refused() == before + 1)
    served.check_steady()


class _Errors(logging.Handler):
    """What asyncio says of exceptions that nobody caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
