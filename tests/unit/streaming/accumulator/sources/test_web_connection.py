"""One HTTP connection without a socket: how bytes are cut, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.sources.http import HttpEndpoint
from streaming.accumulator.sources.loop import SourceLoop
from streaming.accumulator.sources.web import WebServer, _Connection
from streaming.accumulator.spool.segment import Arrived
from tests.support.listening import Disk, Submitted, http_source


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1)})
        self.written = b""
        self.paused: list[bool] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.paused.append(True)

    def resume_reading(self) -> None:
        self.paused.append(False)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass


class Client:
    """A connection whose chunks are settled at once; `connect` makes it a fresh one, in the same loop."""

    def __init__(self) -> None:
        self.sources = SourceLoop("accumulator1", self._submit, lambda: True)
        self._server = WebServer(self.sources, HttpEndpoint(http_source(body_size_limit=1000)), "127.0.0.1", 0)
        self.connect()

    def connect(self) -> None:
        self.disk, self.wire = Disk(), Wire()
        self.connection = _Connection(self._server)
        self.connection.connection_made(self.wire)

    def _submit(self, chunk: Arrived, done: object) -> None:
        assert callable(done)
        self.disk.submitted.put(Submitted(chunk, done))
        done(True)

    def send(self, *parts: bytes) -> None:
        for part in parts:
            if self.wire.closing:
                return
            self.connection.data_received(part)
            self.turn()

    def turn(self) -> None:
        """What has been called in the loop runs, until nothing is on its way to the disk."""
        while True:
            self.sources.loop.call_soon(self.sources.loop.stop)
            self.sources.loop.run_forever()
            if not self.connection._waiting:
                return

    def result(self) -> tuple[list[object], list[bytes], bool]:
        """Records, statuses, and whether the connection was closed."""
        records = [record for submitted in list(self.disk.submitted.queue) for record in submitted.records]
        return (
            records,
            re.findall(rb"HTTP/1.1 (\d+)", self.wire.written),
            self.wire.closing or self.connection._lingering,
        )


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    made = Client()
    yield made
    made.sources.loop.close()


@pytest.fixture
def client(shared: Client) -> Client:
    """Connected."""
    shared.connect()
    return shared


CHUNKED = (
    b"POST /a.b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n[{"a"\r\n9\r\n:1},{"a":\r\n3\r\n2}]\r\n0\r\n\r\n'
)
SIZED = b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":3}'
BAD = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{]"
PIPELINED = SIZED + CHUNKED + BAD + SIZED


def result_of(client: Client, *parts: bytes) -> tuple[list[object], list[bytes], bool]:
    client.connect()
    client.send(*parts)
    found = client.result()
    client.connection.connection_lost(None)
    return found


def test_every_boundary(shared: Client) -> None:
    whole = result_of(shared, PIPELINED)
    assert whole == ([{"a": 3}, {"a": 1}, {"a": 2}, {"a": 3}], [b"200", b"200", b"400", b"200"], False)
    for at in range(1, len(PIPELINED)):
        assert result_of(shared, PIPELINED[:at], PIPELINED[at:]) == whole
    assert result_of(shared, *(bytes([byte]) for byte in PIPELINED)) == whole


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=30), st.integers(0, len(PIPELINED)), st.lists(st.integers(0, 600), max_size=4))
def test_noise_at_any_place_in_any_pieces(shared: Client, noise: bytes, at: int, cuts: list[int]) -> None:
    raw = PIPELINED[:at] + noise + PIPELINED[at:]
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    assert result_of(shared, *(raw[a:b] for a, b in pairwise(places) if b > a)) == result_of(shared, raw)


def test_an_offer_to_switch_protocols_is_not_taken(shared: Client) -> None:
    offer = SIZED.replace(b"Host: x", b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c")
    assert result_of(shared, offer, SIZED) == ([{"a": 3}] * 2, [b"200", b"200"], False)


def test_nothing_is_taken_from_who_reads_no_answers(client: Client) -> None:
    client.send(SIZED)
    client.connection.pause_writing()
    assert client.wire.paused == [True, False, True]
    client.send(SIZED + SIZED)  # what came before the pause had its effect
    assert client.disk.submitted.qsize() == 1
    client.connection.resume_writing()
    client.turn()
    assert client.wire.paused[-1:] == [False]
    assert client.disk.submitted.qsize() == 3
    client.connection.pause_writing()
    client.connection.check_deadline(client.sources.loop.time() + 29)
    assert not client.result()[2]
    client.connection.check_deadline(client.sources.loop.time() + 31)
    assert client.result()[2]
