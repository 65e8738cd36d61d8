"""Slack's Socket Mode: `apps.connections.open`, and a WebSocket that sends envelopes and demands their acks."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

APP_TOKEN = "xapp-test"
ACK_WITHIN_S = 3.0
"""An envelope that is not acknowledged within this is sent again, by Slack's reference."""


@dataclass
class Envelope:
    """One interaction that was sent; `took_s` is how long its ack took, None while there is none."""

    envelope_id: str
    sent_at: float
    acked: threading.Event = field(default_factory=threading.Event)
    took_s: float | None = None


class FakeSocket:
    """The server; a ticket of `apps.connections.open` is good for one connection."""

    def __init__(self) -> None:
        self.app_token, self.fault = APP_TOKEN, ""
        self.envelopes: dict[str, Envelope] = {}
        self.connected = threading.Condition()
        self.opened_count = 0
        self._connections: list[ServerConnection] = []
        self._tickets: set[str] = set()
        self._server: Server | None = None
        self._number = 0

    @property
    def connections(self) -> int:
        with self.connected:
            return len(self._connections)

    def opened(self, authorization: str | None) -> dict[str, object]:
        """The answer of `apps.connections.open`."""
        if self.fault or authorization != f"Bearer {self.app_token}":
            return {"ok": False, "error": self.fault or "invalid_auth"}
        with self.connected:
            if self._server is None:
                self._server = serve(self._serve, "127.0.0.1", 0)
                threading.Thread(target=self._server.serve_forever, daemon=True).start()
            self._number += 1
            ticket = f"t{self._number}"
            self._tickets.add(ticket)
            port = self._server.socket.getsockname()[1]
        return {"ok": True, "url": f"ws://127.0.0.1:{port}/link/?ticket={ticket}"}

    def await_connections(self, number: int, timeout_s: float = 15.0) -> None:
        """Waits until so many are connected."""
        with self.connected:
            assert self.connected.wait_for(lambda: len(self._connections) == number, timeout_s), self._connections

    def press(self, action_id: str, value: str, user: str = "U0ADA0000", channel: str = "C0123456789") -> Envelope:
        """Somebody presses a button."""
        payload = {
            "type": "block_actions",
            "user": {"id": user},
            "channel": {"id": channel},
            "container": {"type": "message", "channel_id": channel, "message_ts": "1.1"},
            "actions": [{"type": "button", "action_id": action_id, "block_id": "b", "value": value}],
        }
        return self.send({"type": "interactive", "accepts_response_payload": False, "payload": payload})

    def send(self, envelope: dict[str, object]) -> Envelope:
        """Sends an envelope on the latest connection."""
        with self.connected:
            self._number += 1
            sent = Envelope(f"e{self._number}", time.monotonic())
            self.envelopes[sent.envelope_id] = sent
            connection = self._connections[-1]
        connection.send(json.dumps(envelope | {"envelope_id": sent.envelope_id}))
        return sent

    def send_raw(self, text: str) -> None:
        """Sends any text on the latest connection."""
        with self.connected:
            connection = self._connections[-1]
        connection.send(text)

    def cut(self) -> None:
        """Breaks all connections, without the WebSocket's own farewell."""
        with self.connected:
            connections = list(self._connections)
        for connection in connections:
            connection.socket.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
        for connection in list(self._connections):
            connection.close()

    def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        ticket = parse_qs(urlsplit(request.path).query).get("ticket", [""])[0] if request else ""
        with self.connected:
            if ticket not in self._tickets:
                return
            self._tickets.discard(ticket)
            self._connections.append(connection)
            self.opened_count += 1
            self.connected.notify_all()
        try:
            connection.send(json.dumps({"type": "hello", "num_connections": 1}))
            for message in connection:
                self._take(json.loads(message))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self.connected:
                self._connections.remove(connection)
                self.connected.notify_all()

    def _take(self, answer: dict[str, object]) -> None:
        envelope = self.envelopes.get(str(answer.get("envelope_id")))
        if envelope is not None:
            envelope.took_s = time.monotonic() - envelope.sent_at
            envelope.acked.set()
