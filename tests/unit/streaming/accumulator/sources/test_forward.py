"""The listener: frames in, acknowledgements when durable, trouble confined to its connection."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack
import pytest

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import ForwardSource
from streaming.accumulator.sources.forward import PENDING_LIMIT, ForwardServer
from streaming.accumulator.spool.segment import Arrived
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


def wait_for(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_a_sender_that_reads_no_answers_is_not_read_from(receiver: Receiver) -> None:
    """Else its answers would pile up in this process without end."""
    receiver.server.submit = lambda _chunk, done: done(True)
    many = b"".join(frame(n, "c" * 200) for n in range(1000))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", receiver.port))
        client.settimeout(1.0)
        chunks = iter([many] * 100)
        with pytest.raises(TimeoutError):
            deque(map(client.sendall, chunks), maxlen=0)
        client.settimeout(WITHIN_S)
        assert client.recv(100_000), "and goes on when it reads them"


def test_all_connections_together_have_a_bounded_amount_under_way(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.forward.ALL_PENDING_LIMIT", 3_000_000)
    big = bytes(msgpack.packb(["app", msgpack.packb([1, {"m": "x" * 1_000_000}]), {"chunk": "c"}]))
    with contextlib.ExitStack() as open_:
        clients = [open_.enter_context(receiver.connect()) for _ in range(10)]
        threads = [threading.Thread(target=client.sendall, args=(big * 2,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        with pytest.raises(AssertionError):
            wait_for(lambda: receiver.submitted.qsize() > 10, 0.5)
        for _ in range(20):
            receiver.next().done(True)
        for thread in threads:
            thread.join(WITHIN_S)


def test_unfinished_frames_are_bounded_and_the_idle_ones_go_first(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver.server, "_unfinished_limit", 3_000_000)
    whole = bytes(msgpack.packb(["app", msgpack.packb([1, {"m": "x" * 1_000_000}]), {"chunk": "c"}]))
    part = whole[:900_000]
    with contextlib.ExitStack() as open_:
        idle = [open_.enter_context(receiver.connect()) for _ in range(3)]
        for client in idle:
            client.sendall(part)
            wait_for(lambda: receiver.server.unfinished_bytes % 900_000 == 0)
        wait_for(lambda: receiver.server.unfinished_bytes == 2_700_000)
        with receiver.connect() as working:
            working.sendall(whole)
            receiver.next().done(True)
            assert read_ack(working) == {"ack": "c"}
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""
        idle[1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            idle[1].recv(1)
        assert receiver.server.unfinished_bytes == 1_800_000


def test_connections_leave_open_files_to_the_spool(receiver: Receiver) -> None:
    receiver.server.connections_limit = 2
    with receiver.connect() as one, receiver.connect() as two, receiver.connect() as three:
        with contextlib.suppress(ConnectionResetError):
            assert three.recv(1) == b""
        two.close()
        wait_for(lambda: len(receiver.server.connections) == 1)
        with receiver.connect() as four:
            for client in (one, four):
                client.sendall(frame(1, "c"))
                receiver.next().done(True)
                assert read_ack(client) == {"ack": "c"}


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
