"""A Slack that keeps Slack's rules, on a loopback port, and that can be told to misbehave.

What it enforces: tokens (invalid_auth, or what `token_fault` says), channels (channel_not_found), one post a second for
each channel after a burst and 50 edits a minute (429 with Retry-After), content (`slack_rules.py`: invalid_blocks,
msg_too_long, ...), edits and threads of what is there only (message_not_found, thread_not_found), metadata kept and
shown only when asked for, files (`fake_slack_files.py`), the scopes that calls need (missing_scope), an app token for
Socket Mode (`fake_socket.py`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from slack_sdk import WebClient
from slack_sdk.web import SlackResponse

from tests.support.fake_slack_files import FileShelf
from tests.support.fake_socket import APP_TOKEN, FakeSocket
from tests.support.slack_rules import blocks_in, content_fault, makes_links

TOKEN = "xoxb-test"
CHANNEL, OTHER_CHANNEL = "C0123456789", "C0987654321"
CHANNEL_NAME = "alerts"
NAMES = {CHANNEL: CHANNEL_NAME, OTHER_CHANNEL: "other"}
BURST = 5
EDITS_PER_MINUTE, EDIT_BURST = 50, 25
SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.list": "channels:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
}
"""What a token needs for a call; one that is not here needs none of these."""

__all__ = ["APP_TOKEN", "CHANNEL", "OTHER_CHANNEL", "TOKEN", "DirectClient", "FakeSlack", "Posted", "content_fault"]


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
    channel: str = CHANNEL
    links: bool = False
    """Slack made links of addresses in it, when it was posted or edited."""

    @property
    def everything(self) -> str:
        """Text and blocks as one text, to search in."""
        return self.text + json.dumps(self.blocks, ensure_ascii=False)

    @property
    def event(self) -> str:
        """Type of its metadata; empty without one."""
        return str((self.metadata or {}).get("event_type") or "")


@dataclass
class Faults:
    """What is to go wrong next; each is used up."""

    cut_after: int = 0
    """So many writes are taken and then the connection is cut without an answer."""
    cut_before: int = 0
    """So many writes are not taken, and the connection is cut without an answer."""
    errors: list[str] = field(default_factory=list)
    """Answers to the next writes."""
    delay_s: float = 0.0
    """How long each answer takes (until set back)."""
    retry_after_s: int = 0
    """The next write is answered by 429 with this."""


class _Allowance:
    """A token bucket, by the server's clock."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s, self._burst, self._clock = per_s, float(burst), clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FakeSlack:
    """The server; `messages` are what people see in channels, `replies` what they see in threads, `whispers` what one
    person alone sees: (user, text)."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        """`clock` is what its limits go by, `wall` the time that its messages bear; it listens at `address`."""
        self.token, self.faults, self.token_fault = TOKEN, Faults(), ""
        self.limited = True
        self.scopes = set(SCOPES.values())
        self.files = FileShelf()
        self.posted: list[Posted] = []
        self.whispers: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.refused = 0
        """Requests answered by 429."""
        self.socket = FakeSocket()
        self._wall, self._number = wall, 0
        self._lock = threading.Lock()
        self._posts = {channel: _Allowance(1.0, BURST, clock) for channel in NAMES}
        self._edits = _Allowance(EDITS_PER_MINUTE / 60, EDIT_BURST, clock)
        slack = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                slack._serve(self)

            def do_GET(self) -> None:
                slack._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address[0]}:{self._server.server_address[1]}/api/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.socket.close()
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
        if "/upload/v1/" in path.path:
            with self._lock:
                status = self.files.upload(method, body)
            self._answer(request, {"ok": status == 200}, status=status)
            return
        arguments: dict[str, object] = dict(parse_qsl(path.query))
        if "json" in (request.headers.get("Content-Type") or ""):
            arguments |= json.loads(body or b"{}")
        else:
            arguments |= dict(parse_qsl(body.decode()))
        for name in ("blocks", "metadata"):
            value = arguments.get(name)
            if isinstance(value, str):
                arguments[name] = json.loads(value)
        given = request.headers.get("Authorization")
        if method == "apps.connections.open":
            with self._lock:
                self.calls.append(method)
            self._answer(request, self.socket.opened(given))
            return
        if given != f"Bearer {self.token}" or self.token_fault:
            self._answer(request, {"ok": False, "error": self.token_fault or "invalid_auth"})
            return
        answer, retry_after, cut = self.ask(method, arguments)
        time.sleep(self.faults.delay_s)
        if cut:
            request.close_connection = True
            request.connection.close()
            return
        self._answer(request, answer, retry_after)

    def ask(self, method: str, arguments: dict[str, object]) -> tuple[dict[str, object], int, bool]:
        """What it answers to a call: the answer, seconds of Retry-After, whether the connection is cut instead."""
        with self._lock:
            self.calls.append(method)
            decided = self._decide(method, arguments)
            self.refused += bool(decided[1])
            return decided

    def _decide(self, method: str, arguments: dict[str, object]) -> tuple[dict[str, object], int, bool]:
        writes = method in ("chat.postMessage", "chat.update", "files.completeUploadExternal")
        needed = SCOPES.get(method)
        if needed is not None and needed not in self.scopes:
            held = ",".join(sorted(self.scopes))
            return {"ok": False, "error": "missing_scope", "needed": needed, "provided": held}, 0, False
        faults = self.faults
        if writes and faults.retry_after_s:
            seconds, faults.retry_after_s = faults.retry_after_s, 0
            return {"ok": False, "error": "ratelimited"}, seconds, False
        if writes and faults.errors:
            return {"ok": False, "error": faults.errors.pop(0)}, 0, False
        if writes and faults.cut_before:
            faults.cut_before -= 1
            return {}, 0, True
        if not self._allowed(method, arguments):
            return {"ok": False, "error": "ratelimited"}, 1, False
        handlers: dict[str, Callable[[dict[str, object]], dict[str, object]]] = {
            "auth.test": lambda _: {"ok": True},
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.getPermalink": self._permalink,
            "chat.postEphemeral": self._whisper,
            "files.getUploadURLExternal": lambda asked: self.files.reserve(asked, self.url.removesuffix("api/")),
            "files.completeUploadExternal": lambda asked: self.files.complete(
                asked,
                NAMES.__contains__,
                lambda channel, ts: any((m.channel, m.ts) == (channel, ts) for m in self.posted),
            ),
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.list": lambda _: {
                "ok": True,
                "channels": [{"id": channel, "name": name} for channel, name in NAMES.items()],
            },
        }
        handler = handlers.get(method)
        answer = handler(arguments) if handler else {"ok": False, "error": "unknown_method"}
        if writes and answer["ok"] and faults.cut_after:
            faults.cut_after -= 1
            return answer, 0, True
        return answer, 0, False

    def _allowed(self, method: str, arguments: dict[str, object]) -> bool:
        if not self.limited:
            return True
        if method == "chat.postMessage":
            channel = _channel(arguments)
            return channel is None or self._posts[channel].take()
        return method != "chat.update" or self._edits.take()

    def _post(self, arguments: dict[str, object]) -> dict[str, object]:
        channel = _channel(arguments)
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        fault = content_fault(arguments)
        if fault:
            return {"ok": False, "error": fault}
        thread = arguments.get("thread_ts")
        if thread is not None and not any(m.ts == thread and m.channel == channel for m in self.posted):
            return {"ok": False, "error": "thread_not_found"}
        self._number += 1
        at = self._wall()
        posted = Posted(
            f"{at:.0f}.{self._number:06d}",
            str(arguments.get("text") or ""),
            blocks_in(arguments),
            _metadata(arguments),
            None if thread is None else str(thread),
            at,
            channel=channel,
            links=makes_links(arguments),
        )
        self.posted.append(posted)
        return {"ok": True, "ts": posted.ts, "channel": channel}

    def _update(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") not in NAMES:
            return {"ok": False, "error": "channel_not_found"}
        message = self._message(arguments, "ts")
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        fault = content_fault(arguments)
        if fault:
            return {"ok": False, "error": fault}
        message.text, message.blocks = str(arguments.get("text") or ""), blocks_in(arguments)
        message.links = message.links or makes_links(arguments)
        message.metadata, message.edits = _metadata(arguments) or message.metadata, message.edits + 1
        return {"ok": True, "ts": message.ts, "channel": message.channel}

    def _permalink(self, arguments: dict[str, object]) -> dict[str, object]:
        message = self._message(arguments, "message_ts")
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        place = f"https://slack.test/archives/{message.channel}/p{message.ts.replace('.', '')}"
        return {"ok": True, "channel": message.channel, "permalink": place}

    def _whisper(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") not in NAMES:
            return {"ok": False, "error": "channel_not_found"}
        self.whispers.append((str(arguments.get("user")), str(arguments.get("text"))))
        return {"ok": True, "message_ts": "1.1"}

    def _history(self, arguments: dict[str, object]) -> dict[str, object]:
        if arguments.get("channel") not in NAMES:
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(str(arguments.get("oldest") or 0))
        here = [m for m in self.posted if m.channel == arguments["channel"] and m.thread_ts is None]
        return _page([m for m in reversed(here) if float(m.ts) >= oldest], arguments)

    def _replies(self, arguments: dict[str, object]) -> dict[str, object]:
        ts, oldest = arguments.get("ts"), float(str(arguments.get("oldest") or 0))
        found = [m for m in self.posted if m.channel == arguments.get("channel") and ts in (m.ts, m.thread_ts)]
        if not found:
            return {"ok": False, "error": "thread_not_found"}
        return _page([m for m in found if m.ts == ts or float(m.ts) >= oldest], arguments)

    def _message(self, arguments: dict[str, object], name: str) -> Posted | None:
        wanted = (arguments.get("channel"), arguments.get(name))
        return next((m for m in self.posted if (m.channel, m.ts) == wanted), None)

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler, answer: dict[str, object], retry_after: int = 0, status: int = 200
    ) -> None:
        body = json.dumps(answer).encode()
        try:
            request.send_response(429 if retry_after else status)
            if retry_after:
                request.send_header("Retry-After", str(retry_after))
            request.send_header("Content-Type", "application/json; charset=utf-8")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            request.close_connection = True


def _channel(arguments: dict[str, object]) -> str | None:
    wanted = str(arguments.get("channel") or "").removeprefix("#")
    return next((channel for channel, name in NAMES.items() if wanted in (channel, name)), None)


def _metadata(arguments: dict[str, object]) -> dict[str, object] | None:
    metadata = arguments.get("metadata")
    return dict(metadata) if isinstance(metadata, dict) else None


def _page(found: list[Posted], arguments: dict[str, object]) -> dict[str, object]:
    """Pages of two, so that whoever reads must follow the cursor; of thirty where many are there."""
    size = 2 if len(found) <= 20 else 30
    start = int(str(arguments.get("cursor") or 0))
    more = str(start + size) if len(found) > start + size else ""
    shown = [_shown(m, arguments) for m in found[start : start + size]]
    return {"ok": True, "messages": shown, "response_metadata": {"next_cursor": more}}


def _shown(message: Posted, arguments: dict[str, object]) -> dict[str, object]:
    shown: dict[str, object] = {"ts": message.ts, "text": message.text}
    asked = str(arguments.get("include_all_metadata") or "").lower() in ("1", "true")
    if asked and message.metadata:
        shown["metadata"] = message.metadata
    return shown


class DirectClient(WebClient):
    """slack-sdk's client without the network between: for tests of thousands of calls."""

    def __init__(self, slack: FakeSlack) -> None:
        super().__init__(token=slack.token)
        self._slack = slack

    def api_call(
        self,
        api_method: str,
        *,
        http_verb: str = "POST",
        params: dict[str, object] | None = None,
        json: dict[str, object] | None = None,
        **_: object,
    ) -> SlackResponse:
        """Asks, and answers or raises what the client does."""
        answer, retry_after, cut = self._slack.ask(api_method, _as_sent({**(params or {}), **(json or {})}))
        if cut:
            raise ConnectionResetError("cut")
        response = SlackResponse(
            client=self,
            http_verb=http_verb,
            api_url=api_method,
            req_args={},
            data=answer,
            headers={"Retry-After": str(retry_after)} if retry_after else {},
            status_code=429 if retry_after else 200,
        )
        response.validate()  # type: ignore[no-untyped-call]
        return response


def _as_sent(arguments: dict[str, object]) -> dict[str, object]:
    sent = {name: value for name, value in arguments.items() if value is not None}
    copied: dict[str, object] = json.loads(json.dumps(sent))
    return copied
