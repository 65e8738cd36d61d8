"""Socket Mode: a connection to Slack for each app token, over which presses of buttons come.

slack-sdk's client holds it and connects again where it breaks; here is what watches the client, and what makes another
where it cannot. Nothing of this can hold a message up: it has threads of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from streaming.alerting.notifier.outbox import backoff_s
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.slack.buttons import Press, presses
from streaming.alerting.receivers.slack.client import NO_LINKS, call, web_client
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

CHECK = "slack-buttons"
"""Name in the health answer."""

LOOK_EVERY_S = 1.0
PING_S = 2.0
"""slack-sdk gives a connection up after five pings that it could not send, or four that nobody answered: 10 s."""

DOWN_AFTER_S = 60.0
"""Without a connection for so long, the health answer says that it is not well, and another client is made."""

THREADS, WAITING_LIMIT = 4, 100
"""Presses in hand and in line; each takes 5 s at the most, where no manager works. More are refused."""

_MISCONFIGURED = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "account_inactive", "not_allowed_token_type"}
)
_QUIET = logging.getLogger("streaming.alerting.slack_sdk")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
"""slack-sdk logs the address that it connects to, which is a secret while it is new."""


class Socket:
    """The connection of one app. `answer` says what the one who pressed is told; empty: nothing."""

    def __init__(
        self, app_token: str, bot_token: str, api_url: str, answer: Callable[[Press], str], health: Health
    ) -> None:
        self._app_token, self._api_url = app_token, api_url
        self._web, self._answer, self._health = web_client(bot_token, api_url), answer, health
        self._workers = ThreadPoolExecutor(THREADS, "slack-buttons")
        self._room = threading.BoundedSemaphore(THREADS + WAITING_LIMIT)
        self._closing = threading.Event()
        health.set(CHECK, True, "connecting")
        self._thread = threading.Thread(target=self._loop, name="slack-socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets go of the connection; what is in hand is finished in the background."""
        self._closing.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _loop(self) -> None:
        failures = 0
        while not self._closing.is_set():
            client = self._client()
            try:
                client.connect()
                failures = 0
                self._watch(client)
            except SlackApiError as error:
                failures += 1
                reason = str(error.response.get("error"))
                self._lost(f"apps.connections.open: {reason}", reason in _MISCONFIGURED)
            except (SlackClientError, OSError, HTTPException, ValueError, AttributeError) as error:
                # What urllib and slack-sdk raise for answers that are none, as in `client.call`.
                failures += 1
                self._lost(f"{type(error).__name__}: {error}", failures > 5)
            finally:
                threading.Thread(target=_let_go, args=(client,), name="slack-socket-close", daemon=True).start()
            if failures:
                self._closing.wait(backoff_s(failures))

    def _client(self) -> SocketModeClient:
        web = WebClient(base_url=self._api_url.rstrip("/") + "/", timeout=10, retry_handlers=[])
        client = SocketModeClient(self._app_token, logger=_QUIET, web_client=web, ping_interval=PING_S, concurrency=2)
        client.socket_mode_request_listeners.append(self._take)
        return client

    def _watch(self, client: SocketModeClient) -> None:
        """Says in the health answer whether it is connected, until it closes or is away for too long."""
        connected_at = time.monotonic()
        while not self._closing.wait(LOOK_EVERY_S):
            now = time.monotonic()
            if client.is_connected():
                connected_at = now
                self._show(True, "")
            elif now - connected_at >= DOWN_AFTER_S:
                self._lost(f"no connection for {DOWN_AFTER_S:g} s", True)
                return
            else:
                self._lost("connecting again", False)

    def _lost(self, reason: str, lasts: bool) -> None:
        self._show(not lasts, f"buttons are not answered, messages go out: {reason}")
        if lasts:
            log.warning("buttons are not answered", reason=reason)

    def _show(self, ok: bool, detail: str) -> None:
        if not self._closing.is_set():
            self._health.set(CHECK, ok, detail)

    def _take(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Acknowledges at once: Slack sends again after three seconds. Called by slack-sdk's threads."""
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type != "interactive" or self._closing.is_set():
            return
        for press in presses(request.payload):
            if not self._room.acquire(blocking=False):
                log.warning("too many presses at once, one left unanswered", incident=press.incident_id)
                continue
            self._workers.submit(self._obey, press)

    def _obey(self, press: Press) -> None:
        try:
            told = self._answer(press)
            log.info("button pressed", action=press.action, incident=press.incident_id, user=press.user, told=told)
            if told and press.channel:
                call(
                    lambda: self._web.chat_postEphemeral(
                        channel=press.channel, user=press.user, text=told, parse=NO_LINKS
                    ),
                    writes=True,
                )
        except Undelivered as failure:
            log.warning("the one who pressed is not told", user=press.user, reason=str(failure))
        except Exception as error:  # noqa: BLE001 -- a pool's thread would keep it to itself
            log.error("button not obeyed", incident=press.incident_id, error=f"{type(error).__name__}: {error}")
        finally:
            self._room.release()


def _let_go(client: SocketModeClient) -> None:
    """Waits for slack-sdk's threads, some seconds; in a thread of its own, so that nobody else does."""
    try:
        client.close()
    except (SlackClientError, OSError, RuntimeError, AttributeError) as error:
        # Its threads may close the same things at the same time.
        log.info("socket closed", reason=f"{type(error).__name__}: {error}")


class Sockets:
    """The sockets of all apps that are configured."""

    def __init__(self, api_url: str, answer: Callable[[Press], str], health: Health) -> None:
        self._api_url, self._answer, self._health = api_url, answer, health
        self._sockets: dict[tuple[str, str], Socket] = {}

    def keep(self, apps: Mapping[str, str]) -> None:
        """These apps, by app token, with their bot tokens, and no others."""
        wanted = set(apps.items())
        for key in self._sockets.keys() - wanted:
            self._sockets.pop(key).close()
        for app_token, bot_token in wanted - self._sockets.keys():
            socket = Socket(app_token, bot_token, self._api_url, self._answer, self._health)
            self._sockets[app_token, bot_token] = socket
        if not self._sockets:
            self._health.forget(CHECK)

    def close(self) -> None:
        """Lets go of all."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
