"""Slack for tasks and callbacks: posts and uploads by a connection of Airflow, with nothing else of Vigil running."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from streaming.errors import ConfigError, Unavailable, VigilError

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

    from streaming.alerting.receivers.base import Undelivered
    from streaming.settings import Settings

CONNECTION = "vigil_slack"

WAIT_AT_MOST_S = 60.0
"""All waits of one call together. Slack asks for 1 s to 30 s; a task that reports must not hang on it for an hour."""

TEXT_LIMIT = 40_000
"""Characters of a message's text, by Slack's reference; what is longer is cut."""

ALT_TEXT_LIMIT = 1_000
"""Characters of a picture's description, by Slack's reference; what is longer is cut."""

_TOKEN = re.compile(r"[!-~]+")
_DEFAULT_URL = "https://slack.com/api/"

T = TypeVar("T")


@dataclass(frozen=True)
class Posted:
    """Where a message is: the channel's id, and its `ts`, by which replies find it."""

    channel: str
    ts: str


@dataclass(frozen=True)
class Upload:
    """A file that is not on disk, or that is to be called otherwise.

    Args:
        name: what it is called, with its ending, by which Slack shows it (`.png` as a picture).
        title: what is shown above it; empty: its name.
        alt_text: what a picture shows, in words.
    """

    name: str
    content: bytes
    title: str = ""
    alt_text: str = ""


@dataclass(frozen=True)
class _Access:
    token: str = field(repr=False)
    channel: str
    base_url: str
    source: str
    """Where it was found, for error messages."""
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)


class VigilSlackHook(BaseHook):
    """One channel of Slack.

    By the Airflow connection `slack_conn_id` (type Slack API: the bot's token is its password; extra `channel`, and
    optionally `base_url`), else by this installation's own SLACK_BOT_TOKEN, SLACK_CHANNEL and SLACK_API_URL. What the
    connection does not name is taken from there, too. The token needs the scopes chat:write and files:write, and
    channels:read where the channel is given by its name.

    Slack's 429 is waited for, at most `wait_at_most_s` in all; nothing else is tried again here, since a lost answer
    may mean a message that was posted. No error message holds the token.

    Args:
        slack_conn_id: the connection's name.
        settings: the installation's; None: read when they are needed.
        wait_at_most_s: all waits of one call together.
        sleep: how it waits.
    """

    conn_name_attr = "slack_conn_id"
    default_conn_name = CONNECTION
    conn_type = "slack"
    hook_name = "Slack (Vigil)"

    def __init__(
        self,
        slack_conn_id: str = CONNECTION,
        *,
        settings: Settings | None = None,
        wait_at_most_s: float = WAIT_AT_MOST_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self.slack_conn_id = slack_conn_id
        self._settings, self._wait_at_most_s, self._sleep = settings, wait_at_most_s, sleep
        self._channel_id: str | None = None

    @property
    def configured(self) -> bool:
        """Whether anybody wanted Slack: there is such a connection, or a token in the settings. What is incomplete
        counts, so that the first call says what is missing.

        Raises:
            ConfigError: the settings cannot be used.
        """
        return self._access is not None

    def post(
        self, text: str, blocks: Sequence[Mapping[str, object]] | None = None, thread_ts: str | None = None
    ) -> Posted:
        """Posts a message, or a reply in the thread of `thread_ts`.

        `text` is mrkdwn, and with `blocks` only what phones show: whatever comes from a log or a user is to be escaped
        before (`streaming.alerting.receivers.slack.mrkdwn`). Addresses in it become no previews.

        Raises:
            ConfigError: token, scope or channel are wrong or missing; a person must act.
            Unavailable: Slack does not answer, or asks to wait too long. It may have been posted all the same.
            VigilError: Slack refuses this content.
        """
        access, shown = self._needed(), text[:TEXT_LIMIT]
        answer = self._ask(
            lambda: self.client.chat_postMessage(
                channel=access.channel,
                text=shown,
                blocks=[dict(block) for block in blocks] if blocks else None,
                thread_ts=thread_ts,
                parse="none",
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        posted = Posted(str(answer.get("channel") or access.channel), str(answer["ts"]))
        self._channel_id = posted.channel
        return posted

    def upload(
        self, files: Sequence[Path | Upload], comment: str = "", thread_ts: str | None = None
    ) -> tuple[str, ...]:
        """Uploads files and shares all of them in one message; returns their ids, in the same order.

        `comment` is mrkdwn, as in `post`. Nothing is shared until all are uploaded. Slack takes no empty file.

        Raises:
            ConfigError: as `post`, or a file that is empty or cannot be read.
            Unavailable: as `post`.
            VigilError: Slack refuses a file.
        """
        if not files:
            return ()
        items = [_item(file) for file in files]
        channel = self._id_of_channel()
        answer = self._ask(
            lambda: self.client.files_upload_v2(
                file_uploads=[dict(item) for item in items],
                channel=channel,
                initial_comment=comment[:TEXT_LIMIT] or None,
                thread_ts=thread_ts,
            )
        )
        shared = answer.get("files")
        return tuple(str(file["id"]) for file in shared) if isinstance(shared, list) else ()

    @cached_property
    def client(self) -> WebClient:
        """slack-sdk's client, which tries nothing again by itself.

        Raises:
            ConfigError: there is no token.
        """
        from streaming.alerting.receivers.slack.client import web_client

        access = self._needed()
        made = web_client(access.token, access.base_url)
        proxy, timeout = access.extra.get("proxy"), str(access.extra.get("timeout") or "")
        made.proxy = str(proxy) if proxy else made.proxy
        made.timeout = int(timeout) if timeout.isdecimal() and int(timeout) else made.timeout
        return made

    def get_conn(self) -> WebClient:
        """`client`, under the name by which Airflow's hooks give it."""
        return self.client

    @cached_property
    def _access(self) -> _Access | None:
        try:
            connection = self.get_connection(self.slack_conn_id)
        except AirflowNotFoundException:
            settings = self._settings or _load_settings()
            token = settings.slack_bot_token.get_secret_value()
            if not token:
                return None
            mask_secret(token)  # as Airflow does with passwords of connections
            return _Access(token, settings.slack_channel, settings.slack_api_url, "SLACK_BOT_TOKEN and SLACK_CHANNEL")
        # Airflow's own form stored such fields with a prefix once; both are read.
        extra = {
            key.removeprefix("extra__slack__"): value
            for key, value in connection.extra_dejson.items()
            if value not in (None, "")
        }
        channel, url = self._defaults(complete="channel" in extra)
        return _Access(
            (connection.password or "").strip(),
            str(extra.get("channel") or channel),
            str(extra.get("base_url") or url),
            f"Airflow's connection {self.slack_conn_id}",
            extra,
        )

    def _defaults(self, complete: bool) -> tuple[str, str]:
        """Channel and address for a connection that does not name them. One that is `complete` without the settings
        works also where those are broken: what tells of that must get out."""
        try:
            settings = self._settings or _load_settings()
        except ConfigError as error:
            if not complete:
                raise
            self.log.warning("The settings cannot be used (%s); Slack is reached by its connection alone", error)
            return "", _DEFAULT_URL
        return settings.slack_channel, settings.slack_api_url

    def _needed(self) -> _Access:
        access = self._access
        if access is None:
            raise ConfigError(
                "Slack is not set up",
                remedy=f"Make the Airflow connection {self.slack_conn_id} (docs/airflow.md), or set SLACK_BOT_TOKEN "
                "and SLACK_CHANNEL",
            )
        # What is no token would be quoted, as it is, by the error of the HTTP client.
        if not _TOKEN.fullmatch(access.token):
            reason = "holds characters that no token has" if access.token else "is missing"
            raise ConfigError(f"the bot's token {reason}", field=access.source, remedy="It begins with xoxb-")
        if not access.channel:
            raise ConfigError(
                "no channel is named", field=access.source, remedy='Set SLACK_CHANNEL, or the extra {"channel": "C..."}'
            )
        return access

    def _id_of_channel(self) -> str:
        """Files are shared by a channel's id only, while messages take its name."""
        if self._channel_id is None:
            from streaming.alerting.receivers.slack.history import History

            history = History(self.client, self._needed().channel)
            self._channel_id = self._patiently(history.channel_id)
        return self._channel_id

    def _ask(self, ask: Callable[[], SlackResponse]) -> SlackResponse:
        from streaming.alerting.receivers.slack.client import call

        return self._patiently(lambda: call(ask, writes=True))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The answer, after the waits that Slack asked for."""
        from streaming.alerting.receivers.base import Undelivered

        left = self._wait_at_most_s
        while True:
            try:
                return ask()
            except Undelivered as failure:
                wait = failure.wait_s
                if wait is None or wait > left:
                    raise self._explained(failure) from None
                left -= wait
                self.log.info("Slack asks to wait for %.0f s", wait)
                self._sleep(wait)

    def _explained(self, failure: Undelivered) -> VigilError:
        from streaming.alerting.receivers.slack.client import RefusedContent

        source = self._needed().source
        if failure.wait_s is not None:
            return Unavailable(f"Slack takes no more messages for {failure.wait_s:.0f} s (429); try again after that")
        if failure.misconfigured:
            return ConfigError(f"Slack says {_told(failure)}", field=source, remedy=_remedy(failure.reason))
        if isinstance(failure, RefusedContent) or failure.reason in _REFUSED_FILES:
            return VigilError(f"Slack refuses this content: {_told(failure)}. {_REFUSED_FILES.get(failure.reason, '')}")
        outcome = "; it may have arrived all the same" if failure.unknown else ""
        return Unavailable(f"Slack did not answer as it should: {failure}{outcome}. Address: {self._needed().base_url}")


_REFUSED_FILES = {
    "file_upload_size_restricted": "The workspace takes no files of this size; send a smaller one",
    "file_uploads_disabled": "The workspace takes no files; its administrators can allow them",
    "file_uploads_except_images_disabled": "The workspace takes pictures only; its administrators can allow files",
    "file_type_not_allowed": "The workspace takes no files of this kind",
    "storage_limit_reached": "The workspace has no room left for files",
}
"""Refusals of files by Slack's reference, each with what can be done."""


def _remedy(reason: str) -> str:
    match reason:
        case "missing_scope":
            return "Give the app this scope (api.slack.com/apps, OAuth & Permissions) and install it again"
        case "channel_not_found" | "not_in_channel" | "is_archived":
            return "Invite the bot to the channel, or name another; best by its id (C...)"
        case _:
            return "Use the bot's current token (api.slack.com/apps, OAuth & Permissions)"


def _told(failure: Undelivered) -> str:
    """The reason, with the scope that is missing where Slack names it."""
    from slack_sdk.errors import SlackApiError

    cause = failure.__cause__
    needed = cause.response.get("needed") if isinstance(cause, SlackApiError) else None
    return f"{failure.reason} ({needed})" if needed else failure.reason


def _item(file: Path | Upload) -> dict[str, object]:
    if isinstance(file, Path):
        file = _read(file)
    if not file.content:
        raise ConfigError("is empty, and Slack takes no empty file", file=file.name)
    described = {"alt_txt": file.alt_text[:ALT_TEXT_LIMIT]} if file.alt_text else {}
    return {"filename": file.name, "title": file.title or file.name, "file": file.content, **described}


def _read(path: Path) -> Upload:
    try:
        return Upload(path.name, path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error


def _load_settings() -> Settings:
    from streaming.settings import load_settings

    return load_settings()
