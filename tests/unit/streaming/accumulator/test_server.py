"""The listener: frames in, acknowledgements when durable, trouble confined to its connection."""

from __future__ import annotations

import contextlib
import queue
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack
import pytest

from streaming.accumulator.config import Place
from streaming.accumulator.plan import ForwardSource
from streaming.accumulator.segment import Arrived
from streaming.accumulator.server import PENDING_LIMIT, ForwardServer
from streaming.errors import Unavailable

WITHIN_S = 10.0


class Submitted(NamedTuple):
    chunk: Arrived
    done: Callable[[bool], None]


class Receiver:
    """A server with a queue in the committer's place."""

    def __init__(self, **more: str) -> None:
        self.submitted: queue.Queue[Submitted] = queue.Queue()
        self.room = True
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.source = ForwardSource(
            Place(Path("x.conf"), 1), None, "127.0.0.1", self.port, more.get("tag"), more.get("add_tag_prefix"), None
        )
        self.server = ForwardServer(
            "accumulator1", [self.source], lambda c, d: self.submitted.put(Submitted(c, d)), lambda: self.room
        )

    def next(self) -> Submitted:
        return self.submitted.get(timeout=WITHIN_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.stop_accepting()
    made.server.close()


def frame(number: int, chunk: str | None = None, tag: str = "app") -> bytes:
    message: list[object] = [tag, number, {"n": number}]
    return bytes(msgpack.packb([*message, {"chunk": chunk}] if chunk else message))


def read_ack(client: socket.socket) -> object:
    return msgpack.unpackb(client.recv(1000))


def test_the_acknowledgement_follows_the_disk(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1, "c1"))
        submitted = receiver.next()
        assert (submitted.chunk.tag, submitted.chunk.chunk_id, submitted.chunk.events) == ("app", b"c1", 1)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(WITHIN_S)
        submitted.done(True)
        assert read_ack(client) == {"ack": "c1"}


def test_what_cannot_be_made_durable_closes_the_connection_without_an_answer(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1, "c1"))
        receiver.next().done(False)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_single_events_that_come_together_become_one_chunk(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1) + frame(2) + frame(3, tag="other") + frame(4, "c"))
        first, second, third = receiver.next(), receiver.next(), receiver.next()
    assert [(s.chunk.tag, s.chunk.events) for s in (first, second, third)] == [("app", 2), ("other", 1), ("app", 1)]
    assert first.chunk.body == msgpack.packb([1, {"n": 1}]) + msgpack.packb([2, {"n": 2}])


def test_a_malformed_frame_closes_its_connection_after_the_answers_before_it(receiver: Receiver) -> None:
    with receiver.connect() as bad, receiver.connect() as good:
        bad.sendall(frame(1, "c1") + b"\xc1")
        receiver.next().done(True)
        assert read_ack(bad) == {"ack": "c1"}
        assert bad.recv(100) == b""
        good.sendall(frame(2, "c2"))
        receiver.next().done(True)
        assert read_ack(good) == {"ack": "c2"}


def test_senders_wait_while_the_spool_is_full(receiver: Receiver) -> None:
    receiver.room = False
    with receiver.connect() as client:
        deadline = time.monotonic() + WITHIN_S
        while not receiver.server.blocked and time.monotonic() < deadline:
            time.sleep(0.01)
        client.sendall(frame(1, "c1"))
        with pytest.raises(queue.Empty):
            receiver.submitted.get(timeout=0.1)
        receiver.room = True
        receiver.next().done(True)
        assert read_ack(client) == {"ack": "c1"}


def test_one_connection_has_a_bounded_amount_under_way(receiver: Receiver) -> None:
    big = bytes(msgpack.packb(["app", msgpack.packb([1, {"m": "x" * 1_000_000}]), {"chunk": "c"}]))
    with receiver.connect() as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sendall(big * 50)
        assert receiver.submitted.qsize() * 1_000_000 < 2 * PENDING_LIMIT


def test_tags_are_rewritten_as_the_source_says() -> None:
    receiver = Receiver(add_tag_prefix="site")
    with receiver.connect() as client:
        client.sendall(frame(1))
        assert receiver.next().chunk.tag == "site.app"
    receiver.server.stop_accepting()
    receiver.server.close()


def test_what_was_read_is_answered_before_the_end(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1, "c1"))
        submitted = receiver.next()
        receiver.server.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            receiver.connect()
        submitted.done(True)
        assert read_ack(client) == {"ack": "c1"}
        assert client.recv(100) == b""


def test_a_taken_port_is_named(receiver: Receiver) -> None:
    with pytest.raises(Unavailable, match=f"{receiver.port}"):
        ForwardServer("accumulator1", [receiver.source], lambda _c, _d: None, lambda: True)
