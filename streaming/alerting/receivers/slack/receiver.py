"""One channel of Slack: posts, edits, replies, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from slack_sdk import WebClient
from slack_sdk.web import SlackResponse

from streaming.alerting.messages import Action, Incident, Notification, Receipt
from streaming.alerting.receivers.base import Delivered, Digest, Notice, Undelivered
from streaming.alerting.receivers.slack import blocks, digest, identity, notes
from streaming.alerting.receivers.slack.client import NO_LINKS, Gone, RefusedContent, call, web_client
from streaming.alerting.receivers.slack.elements import Block, section
from streaming.alerting.receivers.slack.history import History
from streaming.alerting.receivers.slack.mrkdwn import mentions
from streaming.alerting.receivers.slack.pace import POSTS_PER_S, SHARED, Bucket, Paces
from streaming.alerting.receivers.slack.view import View
from streaming.alerting.routes import SLACK

Write = Callable[[list[Block] | None], SlackResponse]


class SlackReceiver:
    """Writes to one channel. Receivers of one channel, in one process, share how fast it may be written to."""

    def __init__(
        self,
        token: str,
        channel: str,
        api_url: str,
        clock: Callable[[], float] = time.monotonic,
        messages_per_s: float = POSTS_PER_S,
        name: str = SLACK,
        people: Mapping[str, str] | None = None,
        view: View | None = None,
        paces: Paces = SHARED,
        web: WebClient | None = None,
    ) -> None:
        self.name = name
        self._view = view or View(people or {})
        self._web, self._channel = web or web_client(token, api_url), channel
        self._history = History(self._web, channel)
        self._posts = paces.posts(api_url, channel, messages_per_s, clock)
        self._edits = paces.edits(api_url, token, messages_per_s, clock)

    def check(self) -> None:
        """Asks Slack whether the token is good.

        Raises:
            Undelivered: it is not, or Slack is away.
        """
        call(self._web.auth_test)

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        """Posts, edits, replies, as the notification's action asks.

        Raises:
            Undelivered: what failed, and when to try again.
        """
        action, incident = notification.action, notification.incident
        known = None if receipt is None or not receipt.message_id else Delivered(receipt.message_id, receipt.channel)
        if action is Action.ANNOTATE:
            return self._annotate_once(notification, known, look_first)
        if action is Action.REOPEN or known is None:
            shown = self._post_once(notification, look_first, known)
        elif action is Action.ESCALATE:
            return self._escalate_once(notification, known, look_first)
        else:
            shown = self._edit(notification, known, look_first)
        if action is Action.RESOLVE:
            with _found_again(shown != known):
                text = blocks.resolution(incident)
                self._reply_once(shown, text, identity.of_resolution(incident), notification.created_ms, look_first)
        elif action is Action.REPEAT and known is not None:
            with _found_again(shown != known):
                text = blocks.repeat(incident, self._view, notification.mentions)
                self._reply_once(shown, text, identity.of_repeat(incident), notification.created_ms, look_first)
        return shown

    def find_told(self, wanted: Mapping[str, tuple[Incident, Receipt | None]], since_ms: int) -> frozenset[str]:
        """Of these incidents, by id, those that have a message of their own, newer than their receipt's.

        Raises:
            Undelivered: nobody knows; ask again later.
        """
        found = self._history.incidents(since_ms)
        told = set()
        for incident_id, (_, receipt) in wanted.items():
            before = receipt.message_id if receipt is not None and receipt.message_id else "0"
            if float(found.get(incident_id, "0")) > float(before):
                told.add(incident_id)
        return frozenset(told)

    def write_digest(self, digest_: Digest, look_first: bool) -> Delivered:
        """Makes its message show the digest as it is: edits the one it has, else posts one.

        Raises:
            Undelivered: what failed, and when to try again.
        """
        text, shown = digest.headline_of(digest_), digest.digest_blocks(digest_, self._view)
        text = self._calling(text, digest_.mentions)
        metadata = identity.of_digest(digest_.digest_id)
        message = digest_.message
        if message is None and look_first:
            message = self._history.find(metadata, digest_.began_ms)
        if message is not None:
            try:
                self._write_edit(message, text, shown, metadata)
                return message
            except Gone:
                # Somebody deleted it; its incidents are still worth telling.
                found = self._history.find(metadata, digest_.began_ms) if look_first else None
                if found is not None:
                    self._write_edit(found, text, shown, metadata)
                    return found
        return self._write_post(text, shown, metadata)

    def write_notice(self, digest_: Digest, notice: Notice, look_first: bool) -> None:
        """Posts a notice: an escalation into the channel, else into the digest's thread.

        Raises:
            Undelivered: what failed, and when to try again.
        """
        if digest_.message is None:
            raise ValueError(f"digest {digest_.digest_id} has no message")
        metadata = identity.of_notice(notice.notice_id)
        if notice.action is not Action.ESCALATE:
            text = digest.notice_text(digest_, notice, self._view, "")
            self._reply_once(digest_.message, text, metadata, notice.began_ms, look_first)
            return
        if look_first and self._history.find(metadata, notice.began_ms):
            return
        text = digest.notice_text(digest_, notice, self._view, self._permalink(digest_.message))
        self._write_post(text, [section(text)], metadata)

    # ------------------------------------------------------------------------------------------- one incident

    def _post_once(self, notification: Notification, look_first: bool, before: Delivered | None) -> Delivered:
        """Posts the incident's message; with `look_first` only if the channel does not have it yet.

        `before` is the message of the time before it reopened, which does not count.
        """
        incident = notification.incident
        metadata = identity.of_incident(incident)
        if look_first:
            since_ms = incident.opened_ms if before is None else notification.created_ms
            found = self._history.find(metadata, since_ms, before.message_id if before else None)
            if found is not None:
                return self._edit(notification, found, look_first)
        return self._write_post(self._headline(notification), self._blocks(notification), metadata)

    def _edit(self, notification: Notification, message: Delivered, look_first: bool) -> Delivered:
        metadata = identity.of_incident(notification.incident)
        try:
            self._write_edit(message, self._headline(notification), self._blocks(notification), metadata)
        except Gone:
            # Somebody deleted it; the incident is still worth telling.
            return self._post_once(notification, look_first, message)
        return message

    def _escalate_once(self, notification: Notification, message: Delivered, look_first: bool) -> Delivered:
        """A new message that refers to the incident's, then that one's edit: whoever is called comes first."""
        incident = notification.incident
        metadata = identity.of_escalation(incident)
        if not (look_first and self._history.find(metadata, notification.created_ms)):
            place = self._permalink(message)
            text, shown = blocks.escalation(incident, self._view, notification.mentions, place)
            self._write_post(self._calling(text, notification.mentions), shown, metadata)
        with _found_again(True):
            return self._edit(notification, message, look_first)

    def _annotate_once(self, notification: Notification, message: Delivered | None, look_first: bool) -> Delivered:
        """A reply in the incident's thread; none where there is no thread, or somebody deleted it: the note is in the
        incident's history all the same."""
        incident, note = notification.incident, notification.note
        if message is None or note is None:
            return message or Delivered()
        with suppress(Gone):
            text, metadata = notes.note_text(note, incident.incident_id), identity.of_note(incident, note)
            self._reply_once(message, text, metadata, notification.created_ms, look_first)
        return message

    def _reply_once(
        self, thread: Delivered, text: str, metadata: dict[str, object], since_ms: int, look_first: bool
    ) -> None:
        if look_first and self._history.has_reply(thread, metadata, since_ms):
            return
        self._posts.take()
        call(
            lambda: self._web.chat_postMessage(
                channel=thread.channel or self._channel,
                thread_ts=thread.message_id,
                text=text,
                parse=NO_LINKS,
                metadata=metadata,
                unfurl_links=False,
                unfurl_media=False,
            ),
            writes=True,
            paced_by=self._posts,
        )

    # --------------------------------------------------------------------------------------------------- writing

    def _write_post(self, text: str, shown: list[Block], metadata: dict[str, object]) -> Delivered:
        self._posts.take()

        def post(content: list[Block] | None) -> SlackResponse:
            return self._web.chat_postMessage(
                channel=self._channel,
                text=text,
                parse=None if content else NO_LINKS,
                blocks=content,
                metadata=metadata,
                unfurl_links=False,
                unfurl_media=False,
            )

        answer = _with_or_without_blocks(shown, post, self._posts)
        if not answer.get("ts"):
            raise Undelivered("no_answer", "Slack took the message, but did not say as which", unknown=True)
        return Delivered(str(answer["ts"]), str(answer.get("channel") or self._channel))

    def _write_edit(self, message: Delivered, text: str, shown: list[Block], metadata: dict[str, object]) -> None:
        channel = message.channel or self._history.channel_id()
        self._edits.take()

        def edit(content: list[Block] | None) -> SlackResponse:
            return self._web.chat_update(
                channel=channel,
                ts=message.message_id or "",
                text=text,
                parse=None if content else NO_LINKS,
                blocks=content or [],
                metadata=metadata,
            )

        _with_or_without_blocks(shown, edit, self._edits)

    def _headline(self, notification: Notification) -> str:
        return self._calling(blocks.headline(notification.incident), notification.mentions)

    def _calling(self, text: str, names: tuple[str, ...]) -> str:
        return f"{text} {mentions(names, self._view.people)}".strip()

    def _blocks(self, notification: Notification) -> list[Block]:
        return blocks.blocks_of(notification.incident, self._view, notification.mentions)

    def _permalink(self, message: Delivered) -> str:
        """The address of a message; none where Slack does not say: what refers to it is worth more than the link."""
        try:
            channel = self._history.channel_id(message.channel)
            answer = call(lambda: self._web.chat_getPermalink(channel=channel, message_ts=message.message_id or ""))
        except Undelivered:
            return ""
        return str(answer.get("permalink") or "")


def _with_or_without_blocks(shown: list[Block], write: Write, bucket: Bucket) -> SlackResponse:
    """Plain text where Slack does not take the blocks: a plain alert beats none."""
    try:
        return call(lambda: write(shown), writes=True, paced_by=bucket)
    except RefusedContent:
        return call(lambda: write(None), writes=True, paced_by=bucket)


@contextmanager
def _found_again(posted: bool) -> Iterator[None]:
    """What fails after something was posted that has no receipt yet: the next attempt must look for that."""
    try:
        yield
    except Undelivered as failure:
        failure.unknown = failure.unknown or posted
        raise
