"""A Kafka whose group coordinator seems to have moved: a proxy before a real one, which answers as it is told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

OFFSET_FETCH = 9
NOT_COORDINATOR = 16
FIRST_OF_GROUPS = 8
"""From this version on the answer to OffsetFetch is by group, and an error of a group comes without any partition."""


class MovedCoordinator:
    """Passes everything through to the broker at 127.0.0.1:`port`, and all that it says of itself points here. The next
    `refusals` questions for committed offsets are answered "not coordinator". A context manager."""

    def __init__(self, port: int, refusals: int) -> None:
        self.refusals, self.refused = refusals, 0
        self._broker = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> MovedCoordinator:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker))
                self._open += [client, broker]
                threading.Thread(target=self._requests, args=(client, broker), daemon=True).start()
                threading.Thread(target=self._answers, args=(client, broker), daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        while (request := _frame(client)) is not None:
            key, version, number = struct.unpack_from(">hhi", request)
            if key == OFFSET_FETCH and self.refused < self.refusals:
                assert version >= FIRST_OF_GROUPS, f"the client asks by OffsetFetch v{version}"
                self.refused += 1
                client.sendall(_framed(_refusal(number, _group(request))))
            else:
                broker.sendall(_framed(request))

    def _answers(self, client: socket.socket, broker: socket.socket) -> None:
        broken, here = (b"127.0.0.1" + struct.pack(">i", port) for port in (self._broker, self.port))
        while (answer := _frame(broker)) is not None:
            with contextlib.suppress(OSError):
                client.sendall(_framed(answer.replace(broken, here)))


def _refusal(number: int, group: bytes) -> bytes:
    """No throttling, one group of no topics, its error, and nothing more."""
    return struct.pack(">ibib", number, 0, 0, 2) + group + struct.pack(">bhbb", 1, NOT_COORDINATOR, 0, 0)


def _group(request: bytes) -> bytes:
    """The name of the first group that is asked for, with its length before it."""
    (client_id,) = struct.unpack_from(">h", request, 8)
    start = 10 + max(0, client_id) + 2  # behind the tags of the header, and the number of groups
    return request[start : start + request[start]]


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def _frame(source: socket.socket) -> bytes | None:
    head = _exactly(source, 4)
    return _exactly(source, int.from_bytes(head)) if head else None


def _exactly(source: socket.socket, size: int) -> bytes | None:
    """None where the connection ends before."""
    found = bytearray()
    with contextlib.suppress(OSError):
        while len(found) < size and (piece := source.recv(size - len(found))):
            found += piece
    return bytes(found) if len(found) == size else None
