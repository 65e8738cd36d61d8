"""Calls from one service to another, within the caller's trace."""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple

from microservices.client import tracing


class Answer(NamedTuple):
    """What a peer said. `body` is the JSON object it sent, empty if it sent none."""

    status: int
    body: dict[str, object]

    @property
    def error(self) -> tuple[str, str]:
        """Code and message of a failure, as `microservices.service` writes them."""
        found = self.body.get("error")
        error = found if isinstance(found, dict) else {}
        return str(error.get("code", f"HTTP_{self.status}")), str(error.get("message", "no reason given"))


class PeerAway(Exception):
    """The peer did not answer in time, or not at all."""


class Peer:
    """A service at host:port. Safe from any thread: each call has a connection of its own."""

    def __init__(self, name: str, host: str, port: int, timeout_s: float) -> None:
        self.name = name
        self._host, self._port, self._timeout_s = host, port, timeout_s

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> Answer:
        """One request; answers of any status are returned.

        Raises:
            PeerAway: no answer within the time-out.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        headers = {"Content-Type": "application/json", "Connection": "close", **tracing.headers()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return Answer(answer.status, _object(answer.read()))
        except (OSError, http.client.HTTPException) as error:
            raise PeerAway(f"{self.name} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
