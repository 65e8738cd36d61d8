"""A small HTTP server on a loopback port that keeps what came and can be told to misbehave; fakes derive from it."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Request:
    """One POST."""

    path: str
    headers: Message
    body: bytes

    def json(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


@dataclass
class Reply:
    """An answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class HttpFaults:
    """What is to go wrong next; each is used up."""

    replies: list[Reply] = field(default_factory=list)
    """Answers to the next requests, which are not taken."""
    cut_before: int = 0
    """So many requests are cut before they are taken."""
    cut_after: int = 0
    """So many requests are taken, and then the connection is cut without an answer."""
    delay_s: float = 0.0
    """How long each answer takes (until set back)."""


class FakeHttp:
    """Takes every POST. `requests` are those that came, `taken` those that were answered as good."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.faults, self.requests, self.taken = HttpFaults(), list[Request](), list[Request]()
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                fake._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that hang up are meant."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http{'' if tls is None else 's'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        fake = cls()
        try:
            yield fake
        finally:
            fake.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        with self._lock:
            self.faults = HttpFaults()
            self.requests.clear()
            self.taken.clear()

    def decide(self, request: Request) -> Reply:
        """The answer to a request; what a fake of something enforces."""
        return Reply()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(handler.path, handler.headers, body)
        with self._lock:
            self.requests.append(request)
            reply, cut = self._reply(request)
        if self.faults.delay_s:
            time.sleep(self.faults.delay_s)
        if cut or reply is None:
            handler.close_connection = True
            handler.connection.close()
            return
        try:
            handler.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(reply.body)
        except OSError:
            handler.close_connection = True

    def _reply(self, request: Request) -> tuple[Reply | None, bool]:
        if self.faults.cut_before:
            self.faults.cut_before -= 1
            return None, True
        if self.faults.replies:
            return self.faults.replies.pop(0), False
        reply = self.decide(request)
        if 200 <= reply.status < 300:
            self.taken.append(request)
        cut = self.faults.cut_after > 0
        self.faults.cut_after -= cut
        return reply, cut
