"""A Slack that keeps Slack's rules, on a loopback port, and that can be told to misbehave.

What it enforces: tokens (invalid_auth), channels (channel_not_found), one post a second for each channel after a
burst (429 with Retry-After), blocks and their limits (invalid_blocks), length of text (msg_too_long), edits of what is
there only (message_not_found), metadata kept and shown only when asked for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

TOKEN = "xoxb-test"
CHANNEL = "C0123456789"
CHANNEL_NAME = "alerts"
BURST = 5
MAX_BLOCKS, MAX_TEXT, MAX_FIELDS, MAX_FIELD, MAX_MESSAGE = 50, 3000, 10, 2000, 40_000


@dataclass
class Posted:
    """One message, as it stands."""

    ts: str
    text: str
    blocks: list[dict[str, object]]
    metadata: dict[str, object] | None
    thread_ts: str | None
    at: float
    edits: int = 0

    @property
    def everything(self) -> str:
        """Text and blocks as one text, to search in."""
        return self.text + json.dumps(self.blocks, ensure_ascii=False)


@dataclass
class Faults:
    """What is to go wrong next; each is used up."""

    cut_after: int = 0
    """So many writes are taken and then the connection is cut without an answer."""
    errors: list[str] = field(default_factory=list)
    """Answers to the next writes."""
    delay_s: float = 0.0
    """How long each answer takes (until set back)."""
    retry_after_s: int = 0
    """The next write is answered by 429 with this."""


class FakeSlack:
    """The server; `messages` are what people see in the channel, `replies` what they see in threads."""

    def __init__(self) -> None:
        self.token, self.faults = TOKEN, Faults()
        self.limited = True
        self.posted: list[Posted] = []
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._tokens, self._refilled, self._number = float(BURST), time.monotonic(), 0
        slack = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                slack._serve(self)

            def do_GET(self) -> None:
                slack._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def messages(self) -> list[Posted]:
        with self._lock:
            return [m for m in self.posted if m.thread_ts is None]

    @property
    def replies(self) -> list[Posted]:
        with self._lock:
            return [m for m in self.posted if m.thread_ts is not None]

    def delete(self, ts: str) -> None:
        with self._lock:
            self.posted = [m for m in self.posted if m.ts != ts]

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path)
        method = path.path.rsplit("/", 1)[-1]
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        arguments: dict[str, object] = dict(parse_qsl(path.query))
        if "json" in (request.headers.get("Content-Type") or ""):
            arguments |= json.loads(body or b"{}")
        else:
            arguments |= dict(parse_qsl(body.decode()))
        for name in ("blocks", "metadata"):
            value = arguments.get(name)
            if isinstance(value, str):
                arguments[name] = json.loads(value)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self._answer(request, {"ok": False, "error": "invalid_auth"})
            return
        with self._lock:
            self.calls.append(method)
            answer, retry_after, cut = self._decide(method, arguments)
        time.sleep(self.faults.delay_s)
        if cut:
            request.close_connection = True
            request.connection.close()
            return
        self._answer(request, answer, retry_after)

    def _decide(self, method: str, arguments: dict[str, object]) -> tuple[dict[str, object], int, bool]:
        writes = method in ("chat.postMessage", "chat.update")
        faults = self.faults
        if writes and faults.retry_after_s:
            seconds, faults.retry_after_s = faults.retry_after_s, 0
            return {"ok": False, "error": "ratelimited"}, seconds, False
        if writes and faults.errors:
            return {"ok": False, "error": faults.errors.pop(0)}, 0, False
        if method == "chat.postMessage" and not self._allowed():
            return {"ok": False, "error": "ratelimited"}, 1, False
        handlers: dict[str, Callable[[dict[str, object]], dict[str, object]]] = {
            "auth.test": lambda _: {"ok": True},
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.list": lambda _: {"ok": True, "channels": [{"id": CHANNEL, "name": CHANNEL_NAME}]},
        }
        handler = handlers.get(method)
        answer = handler(arguments) if handler else {"ok": False, "error": "unknown_method"}
        if writes and answer["ok"] and faults.cut_after:
            faults.cut_after -= 1
            return answer, 0, True
        return answer, 0, False

    def _allowed(self) -> bool:
        if not self.limited:
            return True
        now = time.monotonic()
        self._tokens = min(float(BURST), self._tokens + now - self._refilled)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _post(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") not in (CHANNEL, CHANNEL_NAME, f"#{CHANNEL_NAME}"):
            return {"ok": False, "error": "channel_not_found"}
        fault = _content_fault(arguments)
        if fault:
            return {"ok": False, "error": fault}
        thread = arguments.get("thread_ts")
        if thread is not None and not any(m.ts == thread for m in self.posted):
            return {"ok": False, "error": "thread_not_found"}
        self._number += 1
        ts = f"{time.time():.0f}.{self._number:06d}"
        self.posted.append(
            Posted(
                ts,
                str(arguments.get("text") or ""),
                _blocks(arguments),
                _metadata(arguments),
                None if thread is None else str(thread),
                time.time(),
            )
        )
        return {"ok": True, "ts": ts, "channel": CHANNEL}

    def _update(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        found = [m for m in self.posted if m.ts == arguments.get("ts")]
        if not found:
            return {"ok": False, "error": "message_not_found"}
        fault = _content_fault(arguments)
        if fault:
            return {"ok": False, "error": fault}
        message = found[0]
        message.text, message.blocks = str(arguments.get("text") or ""), _blocks(arguments)
        message.metadata, message.edits = _metadata(arguments) or message.metadata, message.edits + 1
        return {"ok": True, "ts": message.ts, "channel": CHANNEL}

    def _history(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(str(arguments.get("oldest") or 0))
        found = [m for m in reversed(self.posted) if m.thread_ts is None and float(m.ts) >= oldest]
        # Pages of two, so that whoever reads must follow the cursor.
        start = int(str(arguments.get("cursor") or 0))
        more = str(start + 2) if len(found) > start + 2 else ""
        shown = [_shown(m, arguments) for m in found[start : start + 2]]
        return {"ok": True, "messages": shown, "response_metadata": {"next_cursor": more}}

    def _replies(self, arguments: dict[str, object]) -> dict[str, object]:
        ts = arguments.get("ts")
        found = [m for m in self.posted if ts in (m.ts, m.thread_ts)]
        if not found:
            return {"ok": False, "error": "thread_not_found"}
        return {"ok": True, "messages": [_shown(m, arguments) for m in found]}

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, answer: dict[str, object], retry_after: int = 0) -> None:
        body = json.dumps(answer).encode()
        try:
            request.send_response(429 if retry_after else 200)
            if retry_after:
                request.send_header("Retry-After", str(retry_after))
            request.send_header("Content-Type", "application/json; charset=utf-8")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            request.close_connection = True


def _blocks(arguments: dict[str, object]) -> list[dict[str, object]]:
    blocks = arguments.get("blocks")
    return list(blocks) if isinstance(blocks, list) else []


def _metadata(arguments: dict[str, object]) -> dict[str, object] | None:
    metadata = arguments.get("metadata")
    return dict(metadata) if isinstance(metadata, dict) else None


def _shown(message: Posted, arguments: dict[str, object]) -> dict[str, object]:
    shown: dict[str, object] = {"ts": message.ts, "text": message.text}
    asked = str(arguments.get("include_all_metadata") or "").lower() in ("1", "true")
    if asked and message.metadata:
        shown["metadata"] = message.metadata
    return shown


def _content_fault(arguments: dict[str, object]) -> str | None:
    text, blocks = str(arguments.get("text") or ""), _blocks(arguments)
    if len(text) > MAX_MESSAGE:
        return "msg_too_long"
    if not text and not blocks:
        return "no_text"
    if len(blocks) > MAX_BLOCKS or not all(_good_block(block) for block in blocks):
        return "invalid_blocks"
    return None


def _good_block(block: dict[str, object]) -> bool:
    if block.get("type") == "context":
        elements = block.get("elements")
        return (
            isinstance(elements, list) and 1 <= len(elements) <= 10 and all(_good_text(e, MAX_TEXT) for e in elements)
        )
    if block.get("type") != "section":
        return False
    fields = block.get("fields")
    if fields is not None and not (
        isinstance(fields, list) and 1 <= len(fields) <= MAX_FIELDS and all(_good_text(f, MAX_FIELD) for f in fields)
    ):
        return False
    return fields is not None or _good_text(block.get("text"), MAX_TEXT)


def _good_text(text: object, limit: int) -> bool:
    return (
        isinstance(text, dict)
        and text.get("type") in ("mrkdwn", "plain_text")
        and isinstance(text.get("text"), str)
        and 1 <= len(text["text"]) <= limit
    )
