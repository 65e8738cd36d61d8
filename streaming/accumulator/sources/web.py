"""Serves HTTP/1.1 for the sources that speak it: requests in, answers out when the disk has what they brought.

The wire is h11's. What a request means is an endpoint's (http.py, otlp.py), which is pure. Here are the limits: one
request at a time of a connection, a size for heads and bodies, deadlines for whoever sends slowly, a bound on what all
bodies that have not come whole hold together. An answer that refuses before the body was read closes the connection,
and reads on for a moment, since a reset could take the answer away from its reader.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Final, NamedTuple, Protocol

import h11

from streaming.accumulator.sources.loop import SourceLoop
from streaming.accumulator.spool.segment import Arrived
from streaming.forward.frames import CHUNK_ID_LIMIT, FrameError, inflate
from streaming.worker.metrics import ACCUMULATOR_REFUSED, ACCUMULATOR_REQUESTS

MIB = 1024 * 1024
HEAD_LIMIT: Final = 16 * 1024
"""Bytes of a request's line and headers, or of a chunk's head in a chunked body."""
CONNECTIONS_LIMIT: Final = 1_000
UNFINISHED_LIMIT: Final = 64 * MIB
"""Bytes of bodies that have not come whole, of all connections (or two of the largest allowed). Past it the one that
has waited longest for its next byte is refused; its sender comes again."""
INFLATED_LIMIT: Final = 64 * MIB
"""Largest a compressed body may become, whatever the configuration allows. Logs compress about tenfold."""
HEAD_WITHIN_S: Final = 10.0
"""From the first byte of a request to the end of its headers."""
SILENCE_S: Final = 10.0
"""Between two pieces of a body."""
REQUEST_WITHIN_S: Final = 120.0
"""For a whole request: 32 MiB at 2.3 Mbit/s."""
UNREAD_WITHIN_S: Final = 30.0
"""For a client to take its answers."""
LINGER_S: Final = 5.0
"""Reading on, to no purpose but the answer's, after a refusal that came before the body."""
RETRY_AFTER_S: Final = 5
"""Told with 503. The spool is looked at again far more often; a sender that waits less only adds load."""
TLS_HANDSHAKE_S: Final = 10.0
BACKLOG: Final = 512

CHUNK_HEADER: Final = "x-vigil-chunk"
"""A sender's own name for a request, up to 256 visible ASCII characters, the same when it is sent again: a resend of
the same body to the same tag is answered 200 and spooled once."""


class Head(NamedTuple):
    """A request without its body. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    peer: str
    """The client's address, without the port."""

    def get(self, name: str) -> str:
        """The first header of a name (in lower case); "" where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case."""
        return self.get("content-type").partition(";")[0].strip().lower()


class Request(NamedTuple):
    """A whole request, its body unpacked. `chunk_id` is empty where the sender gave none."""

    head: Head
    body: bytes
    chunk_id: bytes
    received_ns: int


class Response(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


class Accepted(NamedTuple):
    """What goes to the disk, and the answer when it is there."""

    chunk: Arrived
    response: Response


class Endpoint(Protocol):
    """What is served on a port. Pure; `answer` may be given any bytes and does not raise."""

    @property
    def body_limit(self) -> int:
        """Bytes of a body as it comes over the wire."""

    @property
    def inflated_limit(self) -> int:
        """Bytes of a compressed body when it is unpacked."""

    @property
    def keepalive_s(self) -> float:
        """How long a connection may wait between two requests."""

    def refusal(self, head: Head) -> Response | None:
        """Why a request need not be read any further than its head; None: it should be."""

    def answer(self, request: Request) -> Response | Accepted:
        """What becomes of a request."""

    def failure(self, head: Head | None, status: int, text: str) -> Response:
        """An error in this endpoint's form. `head` is None where the request could not be read as one."""


class _BadRequest(Exception):
    """Refused with this status; the text says why."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class WebServer:
    """One port. A `Listener`."""

    def __init__(
        self, loop: SourceLoop, endpoint: Endpoint, bind: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.loop, self.endpoint = loop, endpoint
        self._bind, self._port, self._tls = bind, port, tls
        self.connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._unfinished = 0
        self._unfinished_limit = max(UNFINISHED_LIMIT, 2 * endpoint.body_limit)

    async def listen(self) -> None:
        handshake_s = TLS_HANDSHAKE_S if self._tls else None
        self._listener = await self.loop.loop.create_server(
            lambda: _Connection(self),
            self._bind,
            self._port,
            ssl=self._tls,
            ssl_handshake_timeout=handshake_s,
            backlog=BACKLOG,
        )

    def update_flow(self) -> None:
        for connection in list(self.connections):
            connection.update_flow()

    def tick(self, now_s: float) -> None:
        for connection in list(self.connections):
            connection.check_deadline(now_s)

    async def stop_accepting(self) -> None:
        if self._listener:
            self._listener.close()
        for connection in list(self.connections):
            connection.end()

    @property
    def quiet(self) -> bool:
        return not self.connections

    def abort(self) -> None:
        if self._listener:
            self._listener.close()
        for connection in list(self.connections):
            connection.abort()

    def note_unfinished(self, grown: int) -> None:
        """Bodies that have not come whole hold so much more (or less)."""
        self._unfinished += grown
        while self._unfinished > self._unfinished_limit:
            min((c for c in self.connections if c.unfinished), key=lambda c: c.heard_at).crowd_out()

    def count(self, status: int) -> None:
        """A request was answered."""
        ACCUMULATOR_REQUESTS.labels(self.loop.name, str(status)).inc()


class _Connection(asyncio.Protocol):
    """One client. All methods run in the loop."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._head: Head | None = None
        self._body = bytearray()
        self._waiting = False
        """For the disk."""
        self._unread_answers = False
        self._lingering = False
        self._ending = False
        self._paused = False
        self._deadline = inf
        self._request_deadline = inf
        self.unfinished = 0
        """Bytes of a body that has not come whole."""
        self.heard_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        server = self._server
        crowded = server.loop.closing or len(server.connections) >= CONNECTIONS_LIMIT
        if crowded or not server.loop.places.take():
            ACCUMULATOR_REFUSED.labels(server.loop.name, "too-many-connections").inc()
            transport.abort()
            return
        server.connections.add(self)
        self._expect_request()
        self.update_flow()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._note_unfinished(0)
        if self in self._server.connections:
            self._server.connections.remove(self)
            self._server.loop.places.give_back()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self.heard_at = self._now()
        if self._head is None and not self._waiting and self._request_deadline == inf:
            self._request_deadline = self.heard_at + REQUEST_WITHIN_S
            self._deadline = self.heard_at + HEAD_WITHIN_S
        self._http.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """A client that has said all may still wait for its answer (TLS cannot be half closed)."""
        if self._lingering:
            return False
        self._http.receive_data(b"")
        self._advance()
        return self._waiting and self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self._unread_answers = True
        self._deadline = self._now() + UNREAD_WITHIN_S
        self.update_flow()

    def resume_writing(self) -> None:
        self._unread_answers = False
        self._deadline = self._now() + (SILENCE_S if self._head else self._server.endpoint.keepalive_s)
        self.update_flow()
        self._advance()

    def update_flow(self) -> None:
        """Reads on or pauses. Time in which the server does not read is not the client's.

        While the spool is full it reads on, to say so: a client that hears nothing waits for its own time-out.
        """
        if self._transport is None or self._transport.is_closing():
            return
        pause = not self._lingering and (self._waiting or self._unread_answers or self._server.loop.crowded)
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
            if self._request_deadline < inf:
                self._deadline = self._now() + SILENCE_S
                self._request_deadline = self._now() + REQUEST_WITHIN_S
        self._paused = pause

    def check_deadline(self, now_s: float) -> None:
        """Closes what is past its time."""
        if now_s < min(self._deadline, self._request_deadline) or self._waiting:
            return
        if self._lingering or self._unread_answers:
            self.abort()
        elif not self._paused:
            if self._request_deadline < inf:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")
            elif self._transport:
                self._transport.close()

    def crowd_out(self) -> None:
        """Refuses for what it holds unfinished; it has waited longest."""
        ACCUMULATOR_REFUSED.labels(self._server.loop.name, "crowded-out").inc()
        self._unavailable("too many unfinished requests")

    def end(self) -> None:
        """Closes when what was read whole is answered. A request that has not come whole gets no answer."""
        self._ending = True
        if not self._waiting and not self._lingering and self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        if self._transport:
            self._transport.abort()

    def _now(self) -> float:
        return self._server.loop.loop.time()

    def _expect_request(self) -> None:
        self._head = None
        self._body = bytearray()
        self._request_deadline = inf
        self._deadline = self._now() + self._server.endpoint.keepalive_s

    def _advance(self) -> None:
        """Handles what has come, up to a whole request that waits for the disk."""
        while not (self._waiting or self._unread_answers or self._lingering or self._transport is None):
            try:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._handle(event)
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
            except _BadRequest as error:
                self._refuse(error.status, str(error))

    def _handle(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._take(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self._finish()
        elif self._transport:  # ConnectionClosed
            self._transport.close()
            self._transport = None

    def _begin(self, event: h11.Request) -> None:
        path, _, query = event.target.decode("ascii").partition("?")
        headers = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in event.headers)
        head = self._head = Head(event.method.decode("ascii"), path, query, headers, self._peer)
        self._deadline = self._now() + SILENCE_S
        self._request_deadline = min(self._request_deadline, self._now() + REQUEST_WITHIN_S)
        endpoint = self._server.endpoint
        if refused := endpoint.refusal(head):
            self._answer_early(refused)
        elif self._server.loop.blocked:
            self._unavailable(_FULL)
        else:
            _check_headers(head)
            length = head.get("content-length")
            if length and int(length) > endpoint.body_limit:
                raise _too_large(endpoint.body_limit)
            if self._http.they_are_waiting_for_100_continue:
                self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))

    def _take(self, data: bytes | bytearray | memoryview) -> None:
        self._deadline = self._now() + SILENCE_S
        limit = self._server.endpoint.body_limit
        if len(self._body) + len(data) > limit:
            raise _too_large(limit)
        self._body += data
        self._note_unfinished(len(self._body))

    def _finish(self) -> None:
        head, body = self._head, bytes(self._body)
        assert head is not None
        self._body = bytearray()
        self._note_unfinished(0)
        endpoint = self._server.endpoint
        try:
            body = _unpacked(head, body, endpoint.inflated_limit)
            found = endpoint.answer(Request(head, body, _chunk_id(head), time.time_ns()))
        except _BadRequest as error:  # the whole request was read, so the connection is good for another
            found = endpoint.failure(head, error.status, str(error))
        if isinstance(found, Accepted) and self._server.loop.blocked:
            found = self._retry_later(_FULL)
        if isinstance(found, Response):
            self._answer(found)
            return
        self._waiting = True
        self._deadline = self._request_deadline = inf
        self.update_flow()
        response = found.response
        self._server.loop.submit(found.chunk, lambda durable: self._settle(response, durable))

    def _settle(self, response: Response, durable: bool) -> None:
        self._waiting = False
        if self._transport is None:
            return
        if durable:
            self._answer(response)
        else:
            self._answer(self._retry_later("the disk does not take it"))
        self.update_flow()
        self._advance()

    def _answer(self, response: Response) -> None:
        """Answers a request that was read whole."""
        self._write(self._encoded(response, close=self._ending))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self._ending:
            self._http.start_next_cycle()
            self._expect_request()
        elif self._transport:
            self._transport.close()

    def _answer_early(self, response: Response) -> None:
        """Answers before the request was read, and lingers."""
        self._note_unfinished(0)
        self._body = bytearray()
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.abort()
            return
        self._lingering = True
        self._deadline, self._request_deadline = self._now() + LINGER_S, inf
        self._write(self._encoded(response, close=True))
        if self._transport and self._transport.can_write_eof():
            self._transport.write_eof()
        self.update_flow()

    def _refuse(self, status: int, text: str) -> None:
        self._answer_early(self._server.endpoint.failure(self._head, status, text))

    def _unavailable(self, text: str) -> None:
        self._answer_early(self._retry_later(text))

    def _retry_later(self, text: str) -> Response:
        found = self._server.endpoint.failure(self._head, HTTPStatus.SERVICE_UNAVAILABLE, text)
        return found._replace(headers=(*found.headers, ("Retry-After", str(RETRY_AFTER_S))))

    def _encoded(self, response: Response, *, close: bool) -> bytes:
        headers: list[tuple[str, str]] = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Length", str(len(response.body))),
            *response.headers,
        ]
        if response.body:
            headers.append(("Content-Type", response.content_type))
        if close:
            headers.append(("Connection", "close"))
        self._server.count(response.status)
        parts = [self._http.send(h11.Response(status_code=response.status, headers=headers))]
        if response.body and not (self._head and self._head.method == "HEAD"):
            parts.append(self._http.send(h11.Data(data=response.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def _note_unfinished(self, size: int) -> None:
        grown, self.unfinished = size - self.unfinished, size
        self._server.note_unfinished(grown)

    def _write(self, data: bytes | None) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)


def _check_headers(head: Head) -> None:
    if sum(len(name) + len(value) for name, value in head.headers) > HEAD_LIMIT:  # h11 measures what comes in parts
        raise _BadRequest(_HEADERS_TOO_LARGE, f"headers of more than {HEAD_LIMIT} bytes")
    _chunk_id(head)
    encoding = head.get("content-encoding").strip().lower()
    if encoding not in _ENCODINGS:
        known = ", ".join(name for name in _ENCODINGS if name)
        raise _BadRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Encoding {encoding:.40}; known are {known}")


_FULL: Final = "the spool is full"
_HEADERS_TOO_LARGE: Final = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_ENCODINGS: Sequence[str] = ("", "identity", "gzip", "deflate")


def _chunk_id(head: Head) -> bytes:
    given = head.get(CHUNK_HEADER)
    if len(given) > CHUNK_ID_LIMIT or not given.isascii() or not given.isprintable():
        raise _BadRequest(HTTPStatus.BAD_REQUEST, f"{CHUNK_HEADER}: up to {CHUNK_ID_LIMIT} visible ASCII characters")
    # A namespace of its own, so that it is never read as the id of a chunk of another source.
    return f"http:{given}".encode() if given else b""


def _too_large(limit: int) -> _BadRequest:
    return _BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes; send it in parts")


def _unpacked(head: Head, body: bytes, limit: int) -> bytes:
    encoding = head.get("content-encoding").strip().lower()
    try:
        if encoding == "gzip":
            return inflate(body, limit)
        return _inflate_zlib(body, limit) if encoding == "deflate" else body
    except FrameError as error:
        if error.reason == "frame-too-large":
            raise _too_large(limit) from error
        raise _BadRequest(HTTPStatus.BAD_REQUEST, f"Content-Encoding {encoding}: {error}") from error


def _inflate_zlib(body: bytes, limit: int) -> bytes:
    """HTTP's "deflate", which is a zlib stream (RFC 9110, 8.4.1.2)."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise FrameError("malformed-deflate", str(error)) from error
    if len(found) > limit:
        raise FrameError("frame-too-large", f"more than {limit} bytes uncompressed")
    if body and (not stream.eof or stream.unused_data):
        raise FrameError("malformed-deflate", "it ends too soon, or something follows it")
    return found
