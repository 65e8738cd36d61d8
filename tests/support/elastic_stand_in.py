"""A server on a real port that answers `_bulk` as Elasticsearch does, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(StrEnum):
    """What a request meets with."""

    NONE = "none"
    ITEMS_REJECTED = "items-rejected"
    """Every third document is refused with 429, the others are made."""
    REJECTED = "rejected"
    """429 for the whole, with `Retry-After`."""
    BREAKER = "breaker"
    """The circuit breaker for memory: 429 for the whole."""
    UNAVAILABLE = "unavailable"
    TRUNCATED = "truncated"
    """All documents are made; the answer breaks off in the middle."""
    CLOSED = "closed"
    """All documents are made; the connection closes without an answer."""
    SLOW = "slow"
    """All documents are made; the answer comes late."""


class ElasticStandIn:
    """Keeps documents by id. `fault(number)` says what the `number`-th bulk request meets, and may take its time."""

    def __init__(self, fault: Callable[[int], Fault], *, largest: int = 1 << 30, slow_s: float = 0.3) -> None:
        self.fault = fault
        self.largest = largest
        self.slow_s = slow_s
        self.made: Counter[str] = Counter()
        """How often each id was made: more than once is a document doubled."""
        self.met: Counter[Fault | str] = Counter()
        self.most_at_once = 0
        self._at_once = 0
        self._asked = 0
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stand_in._serve(self)

            do_GET = do_PUT = do_POST  # noqa: N815  (the base class names them so)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if not handler.path.startswith("/_bulk"):
            _answer(handler, 404 if handler.command == "GET" and "template" in handler.path else 200, {})
            return
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            number = self._asked
            self._asked += 1
        fault = self.fault(number)
        too_large = len(body) > self.largest
        with self._lock:
            self.met["413" if too_large else fault] += 1
        try:
            if too_large:
                _answer(handler, 413, {"error": {"type": "content_too_long_exception", "reason": "too long"}})
            else:
                self._bulk(handler, fault, body)
        finally:
            with self._lock:
                self._at_once -= 1

    def _bulk(self, handler: BaseHTTPRequestHandler, fault: Fault, body: bytes) -> None:
        if fault is Fault.REJECTED:
            _answer(handler, 429, _error("es_rejected_execution_exception"), {"Retry-After": "1"})
        elif fault is Fault.BREAKER:
            _answer(handler, 429, _error("circuit_breaking_exception"))
        elif fault is Fault.UNAVAILABLE:
            _answer(handler, 503, _error("unavailable_shards_exception"))
        else:
            answer = self._make(body, rejecting=fault is Fault.ITEMS_REJECTED)
            if fault is Fault.SLOW:
                threading.Event().wait(self.slow_s)
            if fault is Fault.CLOSED:
                handler.close_connection = True
            else:
                _answer(handler, 200, answer, cut=fault is Fault.TRUNCATED)

    def _make(self, body: bytes, rejecting: bool) -> dict[str, object]:
        items: list[dict[str, object]] = []
        with self._lock:
            for number, line in enumerate(body.split(b"\n")[:-1:2]):
                name = json.loads(line)["create"]["_id"]
                if rejecting and number % 3 == 0:
                    items.append({"create": {"status": 429, **_error("es_rejected_execution_exception")}})
                elif name in self.made:
                    items.append({"create": {"status": 409, **_error("version_conflict_engine_exception")}})
                else:
                    self.made[name] += 1
                    items.append({"create": {"status": 201}})
        return {"errors": any("error" in str(item) for item in items), "items": items}


def _error(kind: str) -> dict[str, object]:
    return {"error": {"type": kind, "reason": "because the test says so"}}


def _answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    answer: dict[str, object],
    headers: dict[str, str] | None = None,
    cut: bool = False,
) -> None:
    body = json.dumps(answer, separators=(",", ":")).encode()
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2] if cut else body)
    if cut:
        handler.close_connection = True
