"""A receiver that answers as Slack's Web API does and notes when each message came."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Receiver:
    """Listens on a free loopback port. `first_seen_ns(text)` is when a message first held that text."""

    def __init__(self) -> None:
        self._arrived: list[tuple[int, str]] = []
        self._new = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            numbers: ClassVar[list[int]] = [0]

            def do_POST(self) -> None:
                now_ns = time.time_ns()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                method = self.path.rsplit("/", 1)[-1]
                if method == "chat.postMessage":
                    receiver._note(now_ns, urllib.parse.unquote_plus(body))
                self.numbers[0] += 1
                self._answer({"ok": True, "channel": "C0BENCH", "ts": f"{time.time():.0f}.{self.numbers[0]:06d}"})

            do_GET = do_POST  # noqa: N815  (the base class names it so)

            def _answer(self, answer: dict[str, object]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: this is a measuring device."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _note(self, now_ns: int, body: str) -> None:
        with self._new:
            self._arrived.append((now_ns, body))
            self._new.notify_all()

    def first_seen_ns(self, text: str, timeout_s: float) -> int | None:
        """Waits for a message that holds `text`; None if none comes in time."""
        deadline = time.monotonic() + timeout_s
        with self._new:
            while True:
                for at_ns, body in self._arrived:
                    if text in body:
                        return at_ns
                left = deadline - time.monotonic()
                if left <= 0 or not self._new.wait(left):
                    return None

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
