"""The listener: frames in, acknowledgements when durable, trouble confined to its connection."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections import deque

import msgpack
import pytest

from streaming.accumulator.sources.forward.connection import PENDING_LIMIT
from streaming.accumulator.sources.forward.server import ForwardServer
from streaming.accumulator.sources.open_files import ConnectionBudget
from streaming.errors import Unavailable
from tests.support.forward_receiver import WITHIN_S, Receiver, frame, read_ack, wait_for


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
    monkeypatch.setattr("streaming.accumulator.sources.forward.server.ALL_PENDING_LIMIT", 3_000_000)
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


def test_who_sends_little_is_read_from_while_others_have_filled_the_half(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.forward.server.ALL_PENDING_LIMIT", 10_000_000)
    big = bytes(msgpack.packb(["app", msgpack.packb([1, {"m": "x" * 1_000_000}]), {"chunk": "c"}]))
    with contextlib.ExitStack() as open_:
        for _ in range(3):
            loud = open_.enter_context(receiver.connect())
            loud.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                loud.sendall(big * 20)  # as much as the kernel takes: some megabytes
        wait_for(lambda: receiver.submitted.qsize() >= 5)
        quiet = open_.enter_context(receiver.connect())
        quiet.sendall(frame(1, "q", tag="quiet"))
        submitted = [receiver.next() for _ in range(6)]
        while submitted[-1].chunk.tag != "quiet":
            submitted.append(receiver.next())
        assert sum(len(s.chunk.body) for s in submitted) < 10_000_000
        submitted[-1].done(True)
        assert read_ack(quiet) == {"ack": "q"}


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
    receiver.server.places = ConnectionBudget(lambda: 2)
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
    receiver.close()


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


def test_a_sender_that_closes_its_half_still_gets_its_answers(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1, "c1") + frame(2, "c2"))
        client.shutdown(socket.SHUT_WR)
        first, second = receiver.next(), receiver.next()
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(WITHIN_S)
        first.done(True)
        assert read_ack(client) == {"ack": "c1"}
        second.done(True)
        assert read_ack(client) == {"ack": "c2"}
        assert client.recv(100) == b""
    wait_for(lambda: not receiver.server.connections)


def test_a_frame_cut_off_by_the_end_is_forgotten(receiver: Receiver) -> None:
    with receiver.connect() as client:
        client.sendall(frame(1, "c1")[:-3])
        wait_for(lambda: receiver.server.unfinished_bytes > 0)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    wait_for(lambda: not receiver.server.connections)
    assert receiver.server.unfinished_bytes == 0
    assert receiver.submitted.empty()


def test_udp_heartbeats_are_answered_on_the_same_port(receiver: Receiver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heart:
        heart.settimeout(WITHIN_S)
        for beat in (b"\0", b"x" * 1000):
            heart.sendto(beat, ("127.0.0.1", receiver.port))
            assert heart.recvfrom(100) == (b"\0", ("127.0.0.1", receiver.port))
