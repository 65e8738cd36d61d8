"""Looks for messages in a channel: what an attempt of unknown outcome may have posted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

from slack_sdk import WebClient

from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.slack.client import Gone, call
from streaming.alerting.receivers.slack.identity import incident_of, is_same

PAGES = 10
PAGE = 200
"""At most 2,000 messages are looked through. In a channel that gets more between a crash and the next start, one
could be posted twice."""

MARGIN_S = 600
"""It is searched from this long before what is looked for was ordered, for clocks that differ."""

_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{6,}")


class History:
    """One channel, by its name or id."""

    def __init__(self, web: WebClient, channel: str) -> None:
        self._web, self._channel = web, channel
        self._id = channel if _CHANNEL_ID.fullmatch(channel) else ""

    def find(self, metadata: Mapping[str, object], since_ms: int, after: str | None = None) -> Delivered | None:
        """The latest message that carries this metadata; with `after` only one later than that.

        Raises:
            Undelivered: nobody knows.
        """
        for message in self._messages(since_ms):
            if is_same(message, metadata) and (after is None or float(str(message["ts"])) > float(after)):
                return Delivered(str(message["ts"]), self.channel_id())
        return None

    def incidents(self, since_ms: int) -> dict[str, str]:
        """The incidents that have messages of their own in the channel, with the ts of the latest.

        Raises:
            Undelivered: nobody knows.
        """
        found: dict[str, str] = {}
        for message in self._messages(since_ms):
            incident = incident_of(message)
            if incident is not None:
                found.setdefault(incident, str(message["ts"]))
        return found

    def has_reply(self, thread: Delivered, metadata: Mapping[str, object], since_ms: int) -> bool:
        """Whether a thread has a reply that carries this metadata.

        Raises:
            Undelivered: nobody knows.
        """
        try:
            return any(is_same(message, metadata) for message in self._replies(thread, since_ms))
        except Gone:
            return False

    def channel_id(self, known: str | None = None) -> str:
        """The channel's id: the history and edits take no names.

        Raises:
            Undelivered: it cannot be found out.
        """
        self._id = self._id or known or self._look_up()
        return self._id

    def _messages(self, since_ms: int) -> Iterator[dict[str, object]]:
        """The latest first."""
        channel, oldest, cursor = self.channel_id(), _seconds(since_ms), ""
        for _ in range(PAGES):
            page = call(
                lambda at=cursor: self._web.conversations_history(  # type: ignore[misc]
                    channel=channel, oldest=oldest, include_all_metadata=True, limit=PAGE, cursor=at or None
                )
            )
            yield from _dicts(page.get("messages"))
            cursor = _next_cursor(page.get("response_metadata"))
            if not cursor:
                break

    def _replies(self, thread: Delivered, since_ms: int) -> Iterator[dict[str, object]]:
        channel, oldest, cursor = self.channel_id(thread.channel), _seconds(since_ms), ""
        for _ in range(PAGES):
            page = call(
                lambda at=cursor: self._web.conversations_replies(  # type: ignore[misc]
                    channel=channel,
                    ts=thread.message_id or "",
                    oldest=oldest,
                    include_all_metadata=True,
                    limit=PAGE,
                    cursor=at or None,
                )
            )
            yield from _dicts(page.get("messages"))
            cursor = _next_cursor(page.get("response_metadata"))
            if not cursor:
                break

    def _look_up(self) -> str:
        name, cursor = self._channel.removeprefix("#"), ""
        for _ in range(PAGES):
            page = call(
                lambda at=cursor: self._web.conversations_list(  # type: ignore[misc]
                    limit=1000, exclude_archived=True, types="public_channel,private_channel", cursor=at or None
                )
            )
            for channel in _dicts(page.get("channels")):
                if channel.get("name") == name:
                    return str(channel["id"])
            cursor = _next_cursor(page.get("response_metadata"))
            if not cursor:
                break
        raise Undelivered("channel_not_found", f"no channel {self._channel}", misconfigured=True)


def _seconds(since_ms: int) -> str:
    return str(max(0.0, since_ms / 1000 - MARGIN_S))


def _dicts(found: object) -> list[dict[str, object]]:
    entries = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("dict[str, object]", entry) for entry in entries if isinstance(entry, dict)]


def _next_cursor(found: object) -> str:
    return str(found.get("next_cursor") or "") if isinstance(found, dict) else ""
