"""Calls of Slack's Web API, with every failure as `Undelivered` that says what is known of the outcome."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.slack.pace import Bucket
from streaming.alerting.receivers.waits import retry_after_s

TIMEOUT_S = 10
"""Slack answers within a second; after ten the outcome is taken as unknown."""

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

NO_LINKS = "none"
"""`parse` of what is text alone: addresses in it are no links. Mark-up still counts."""


class Gone(Undelivered):
    """The message that was to be edited or answered is not there."""


class RefusedContent(Undelivered):
    """Slack does not take this content."""


def web_client(token: str, api_url: str) -> WebClient:
    """A client that never tries again by itself: slack-sdk's own handlers would post again after a cut connection."""
    return WebClient(token=token, base_url=api_url.rstrip("/") + "/", timeout=TIMEOUT_S, retry_handlers=[])


def call(ask: Callable[[], SlackResponse], *, writes: bool = False, paced_by: Bucket | None = None) -> SlackResponse:
    """Calls Slack; `writes` tells that a lost answer leaves the outcome unknown. `paced_by` is the bucket
    whose token was taken for it: what Slack asks to wait holds that.

    Raises:
        Undelivered: whatever went wrong.
    """
    try:
        answer = ask()
        if not isinstance(answer.data, dict):
            raise ValueError("the answer is no JSON object")
        return answer
    except SlackApiError as error:
        failure = _of_answer(error, writes)
        if paced_by is not None and failure.wait_s is not None:
            paced_by.hold(failure.wait_s)
            failure.only_this = paced_by.only_this
        raise failure from error
    except URLError as error:
        never_sent = isinstance(error.reason, ConnectionRefusedError) or "getaddrinfo" in repr(error.reason)
        raise Undelivered("unreachable", str(error.reason), unknown=writes and not never_sent) from error
    except (OSError, http.client.HTTPException, SlackClientError, ValueError, AttributeError) as error:
        # A time-out, a cut connection, an answer that is no JSON or no object (slack-sdk takes any JSON for one,
        # hence AttributeError): nobody knows what Slack did.
        raise Undelivered("no_answer", f"{type(error).__name__}: {error}", unknown=writes) from error


def _of_answer(error: SlackApiError, writes: bool) -> Undelivered:
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    headers = {str(k).lower(): str(v) for k, v in (getattr(response, "headers", None) or {}).items()}
    data = response.data if isinstance(response, SlackResponse) else response
    reason = str(data.get("error") or status) if isinstance(data, dict) else f"no JSON object ({status})"
    if status == 429 or reason in ("ratelimited", "rate_limited"):
        return Undelivered("ratelimited", wait_s=retry_after_s(headers.get("retry-after")))
    if reason in _GONE:
        return Gone(reason)
    if reason in _REFUSED:
        return RefusedContent(reason, only_this=True)
    if reason in _MISCONFIGURED:
        return Undelivered(reason, "see the bot token and the channel of this receiver", misconfigured=True)
    # internal_error, fatal_error, service_unavailable, 5xx: it may have happened all the same.
    return Undelivered(reason, unknown=writes)
