"""Slack: one message for each incident, edited as it changes; the resolution is a reply in its thread.

Each message carries the incident's id as metadata, so that after an unknown outcome (a time-out, a SIGKILL between the
post and its receipt) the channel's history answers whether it was posted. That needs the scopes `chat:write` and
`channels:history` (`groups:history` for a private channel), and `channels:read` where SLACK_CHANNEL is a name instead
of an id.
"""

from __future__ import annotations

import http.client
import math
import re
import time
from collections.abc import Callable
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from streaming.alerting.messages import Action, Incident, Notification, Receipt
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.slack_blocks import Block, blocks_of, headline, resolution
from streaming.alerting.routes import SLACK

TIMEOUT_S = 10
"""Slack answers within a second; after ten the outcome is taken as unknown."""

POSTS_PER_S = 1.0
BURST_S = 3.0
"""chat.postMessage takes one message a second for each channel, and short bursts: here three seconds' worth."""

EVENT = "vigil_incident"
RESOLVED_EVENT = "vigil_incident_resolved"
SHORTEST_WAIT_S, LONGEST_WAIT_S = 1.0, 3600.0
"""Bounds of what Retry-After may ask: Slack counts by the minute. None of no wait at all, which would be a busy loop,
nor of one that never ends."""

HISTORY_PAGES = 10
HISTORY_MARGIN_S = 600
"""The history is searched from this long before the incident opened, for clocks that differ."""

_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{6,}")
_MISCONFIGURED = frozenset(
    {
        "not_authed",
        "invalid_auth",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "no_permission",
        "missing_scope",
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "restricted_action",
        "access_denied",
    }
)
_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "invalid_metadata_format"}
)
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})


class Bucket:
    """A token bucket: `BURST_S` seconds' worth at once, then `per_s` tokens a second."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._size = per_s, max(1.0, BURST_S * per_s)
        self._clock, self._tokens, self._at = clock, self._size, clock()

    def take(self) -> None:
        """Takes a token.

        Raises:
            Undelivered: none is there; it says how long to wait.
        """
        now = self._clock()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            raise Undelivered("paced", wait_s=(1 - self._tokens) / self._per_s)
        self._tokens -= 1


class SlackReceiver:
    """Writes to one channel."""

    name = SLACK

    def __init__(
        self,
        token: str,
        channel: str,
        api_url: str,
        clock: Callable[[], float] = time.monotonic,
        messages_per_s: float = POSTS_PER_S,
    ) -> None:
        # No retry handlers: slack-sdk's own would post again after a cut connection.
        self._web = WebClient(token=token, base_url=api_url.rstrip("/") + "/", timeout=TIMEOUT_S, retry_handlers=[])
        self._channel = channel
        self._bucket = Bucket(messages_per_s, clock)

    def check(self) -> None:
        """Asks Slack whether the token is good.

        Raises:
            Undelivered: it is not, or Slack is away.
        """
        self._call(self._web.auth_test)

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        """Posts, edits, or edits and replies, as the notification's action asks.

        Raises:
            Undelivered: what failed, and when to try again.
        """
        incident = notification.incident
        known = None if receipt is None or not receipt.message_id else Delivered(receipt.message_id, receipt.channel)
        if notification.action is Action.REOPEN:
            return self._post_once(incident, look_first, known)
        shown = (
            self._post_once(incident, look_first, None) if known is None else self._edit(incident, known, look_first)
        )
        if notification.action is Action.RESOLVE:
            try:
                self._reply_once(incident, shown, look_first)
            except Undelivered as failure:
                # A message that was posted just now has no receipt yet: the next attempt must find it.
                failure.unknown = failure.unknown or shown != known
                raise
        return shown

    def _post_once(self, incident: Incident, look_first: bool, before: Delivered | None) -> Delivered:
        """Posts the incident's message; with `look_first` only if the channel does not have it yet.

        `before` is the message of the time before it reopened, which does not count.
        """
        found = self._find(incident, before) if look_first else None
        return self._edit(incident, found, look_first) if found else self._post(incident)

    def _post(self, incident: Incident) -> Delivered:
        self._bucket.take()

        def post(blocks: list[Block] | None) -> SlackResponse:
            return self._web.chat_postMessage(
                channel=self._channel,
                text=headline(incident),
                blocks=blocks,
                metadata=_metadata(EVENT, incident),
                unfurl_links=False,
                unfurl_media=False,
            )

        answer = self._with_or_without_blocks(incident, post)
        if not answer.get("ts"):
            raise Undelivered("no_answer", "Slack took the message, but did not say as which", unknown=True)
        return Delivered(str(answer["ts"]), str(answer.get("channel") or self._channel))

    def _edit(self, incident: Incident, message: Delivered, look_first: bool) -> Delivered:
        def edit(blocks: list[Block] | None) -> SlackResponse:
            return self._web.chat_update(
                channel=message.channel or self._channel,
                ts=message.message_id or "",
                text=headline(incident),
                blocks=blocks or [],
                metadata=_metadata(EVENT, incident),
            )

        try:
            self._with_or_without_blocks(incident, edit)
        except _Gone:
            # Somebody deleted it; the incident is still worth telling.
            return self._post_once(incident, look_first, message)
        return message

    def _reply_once(self, incident: Incident, message: Delivered, look_first: bool) -> None:
        channel, thread = message.channel or self._channel, message.message_id or ""
        if look_first and self._has_reply(incident, channel, thread):
            return
        self._bucket.take()
        self._call(
            lambda: self._web.chat_postMessage(
                channel=channel,
                thread_ts=thread,
                text=resolution(incident),
                metadata=_metadata(RESOLVED_EVENT, incident),
            ),
            writes=True,
        )

    def _find(self, incident: Incident, before: Delivered | None) -> Delivered | None:
        """The incident's latest message in the channel; of a reopened one only a later one than `before`."""
        channel = self._channel_id(before)
        oldest, cursor = str(max(0, incident.opened_ms / 1000 - HISTORY_MARGIN_S)), ""
        for _ in range(HISTORY_PAGES):
            page = self._call(
                lambda at=cursor: self._web.conversations_history(  # type: ignore[misc]
                    channel=channel, oldest=oldest, include_all_metadata=True, limit=200, cursor=at or None
                )
            )
            for message in page["messages"] or []:
                if _is_about(message, EVENT, incident) and (
                    before is None or float(message["ts"]) > float(before.message_id or 0)
                ):
                    return Delivered(str(message["ts"]), channel)
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return None

    def _has_reply(self, incident: Incident, channel: str, thread: str) -> bool:
        page = self._call(
            lambda: self._web.conversations_replies(channel=channel, ts=thread, include_all_metadata=True, limit=200)
        )
        return any(_is_about(message, RESOLVED_EVENT, incident, exact=True) for message in page["messages"] or [])

    def _channel_id(self, known: Delivered | None) -> str:
        """The channel's id: the history takes no names."""
        if known and known.channel:
            return known.channel
        if _CHANNEL_ID.fullmatch(self._channel):
            return self._channel
        name, cursor = self._channel.removeprefix("#"), ""
        for _ in range(HISTORY_PAGES):
            page = self._call(
                lambda at=cursor: self._web.conversations_list(  # type: ignore[misc]
                    limit=1000, exclude_archived=True, types="public_channel,private_channel", cursor=at or None
                )
            )
            for channel in page["channels"] or []:
                if channel.get("name") == name:
                    return str(channel["id"])
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        raise Undelivered("channel_not_found", f"no channel {self._channel}", misconfigured=True)

    def _with_or_without_blocks(
        self, incident: Incident, write: Callable[[list[Block] | None], SlackResponse]
    ) -> SlackResponse:
        """Plain text where Slack does not take the blocks: a plain alert beats none."""
        try:
            return self._call(lambda: write(blocks_of(incident)), writes=True)
        except _RefusedContent:
            return self._call(lambda: write(None), writes=True)

    def _call(self, call: Callable[[], SlackResponse], *, writes: bool = False) -> SlackResponse:
        """Calls Slack; `writes` tells that a lost answer leaves the outcome unknown.

        Raises:
            Undelivered: whatever went wrong.
        """
        try:
            answer = call()
            if not isinstance(answer.data, dict):
                raise ValueError("the answer is no JSON object")
            return answer
        except SlackApiError as error:
            raise _of_answer(error, writes) from error
        except URLError as error:
            never_sent = isinstance(error.reason, ConnectionRefusedError) or "getaddrinfo" in repr(error.reason)
            raise Undelivered("unreachable", str(error.reason), unknown=writes and not never_sent) from error
        except (OSError, http.client.HTTPException, SlackClientError, ValueError, AttributeError) as error:
            # A time-out, a cut connection, an answer that is no JSON or no object (slack-sdk takes any JSON for one,
            # hence AttributeError): nobody knows what Slack did.
            raise Undelivered("no_answer", f"{type(error).__name__}: {error}", unknown=writes) from error


class _Gone(Undelivered):
    """The message that was to be edited is not there."""


class _RefusedContent(Undelivered):
    """Slack does not take this content."""


def _of_answer(error: SlackApiError, writes: bool) -> Undelivered:
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    headers = {str(k).lower(): str(v) for k, v in (getattr(response, "headers", None) or {}).items()}
    data = response.data if isinstance(response, SlackResponse) else response
    reason = str(data.get("error") or status) if isinstance(data, dict) else f"no JSON object ({status})"
    if status == 429 or reason in ("ratelimited", "rate_limited"):
        return Undelivered("ratelimited", wait_s=_seconds(headers.get("retry-after")))
    if reason in _GONE:
        return _Gone(reason)
    if reason in _REFUSED:
        return _RefusedContent(reason, only_this=True)
    if reason in _MISCONFIGURED:
        return Undelivered(reason, "see SLACK_BOT_TOKEN and SLACK_CHANNEL", misconfigured=True)
    # internal_error, fatal_error, service_unavailable, 5xx: it may have happened all the same.
    return Undelivered(reason, unknown=writes)


def _seconds(text: str | None) -> float:
    """The wait that Retry-After asks for, within reason; a second where it says nothing that can be waited for."""
    try:
        asked = float(text or 0)
    except ValueError:
        asked = math.nan
    # `max` with the bound first also takes NaN for nothing.
    return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, asked))


def _metadata(event: str, incident: Incident) -> dict[str, object]:
    payload = {"incident_id": incident.incident_id, "version": incident.version, "opening": incident.reopened}
    return {"event_type": event, "event_payload": payload}


def _is_about(message: dict[str, object], event: str, incident: Incident, *, exact: bool = False) -> bool:
    """Whether a message is this incident's; `exact`: of the very time that it was open last."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != event:
        return False
    payload = metadata.get("event_payload")
    return (
        isinstance(payload, dict)
        and payload.get("incident_id") == incident.incident_id
        and (not exact or payload.get("opening") == incident.reopened)
    )
