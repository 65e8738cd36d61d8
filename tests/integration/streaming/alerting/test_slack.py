"""The Slack receiver against a Slack that keeps the real one's rules."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Sample, Severity
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.events.model import Level

if TYPE_CHECKING:
    from tests.support.fake_slack import FakeSlack

TOKEN, CHANNEL = "xoxb-test", "C0123456789"

HOSTILE = "<!channel> <@U1> & ``` *bold* \x1b[31m\x00 \u202e <https://evil|bank>"


def incident(**changes: object) -> Incident:
    now_ms = time.time_ns() // 1_000_000
    sample = Sample(
        timestamp_ms=now_ms,
        level=Level.ERROR,
        message=HOSTILE,
        service="order",
        node_id="n1",
        trace_id="t" * 32,
        error_code="E1",
        received_ms=now_ms,
    )
    whole = Incident(
        incident_id="ABCDEFGHIJ",
        incident_key="r|service.name=order",
        rule_id="r",
        group={"service.name": "order"},
        severity=Severity.ERROR,
        title="order E1: it broke <!here>",
        state=IncidentState.FIRING,
        version=1,
        count=1,
        opened_ms=now_ms,
        first_ms=now_ms,
        last_ms=now_ms,
        updated_ms=now_ms,
        last_received_ms=now_ms,
        sample=sample,
        resolve_after_s=60,
        runbook="https://example.org/run?a=1&b=2",
    )
    return msgspec.structs.replace(whole, **changes)


def note(action: Action, **changes: object) -> Notification:
    return Notification(action=action, incident=incident(**changes), created_ms=0)


RESOLVED = {"state": IncidentState.RESOLVED, "version": 3, "reason": "quiet for 60 s", "count": 7}


def receipt(of: Delivered, version: int = 1) -> Receipt:
    return Receipt(
        incident_id="ABCDEFGHIJ",
        receiver="slack",
        version=version,
        action=Action.OPEN,
        rule_id="r",
        severity=Severity.ERROR,
        title="t",
        sent_ms=0,
        message_id=of.message_id,
        channel=of.channel,
    )


class Clock:
    """Time for the pacing alone: each look is a minute later, so that it never holds a test up."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


def receiver(slack: FakeSlack, channel: str = CHANNEL, token: str = TOKEN) -> SlackReceiver:
    return SlackReceiver(token, channel, slack.url, Clock())


def undelivered(of: SlackReceiver, notification: Notification) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        of.deliver(notification, None, False)
    return caught.value


def test_an_incident_is_one_message_that_is_edited_and_answered(slack: FakeSlack) -> None:
    to = receiver(slack)
    to.check()
    opened = to.deliver(note(Action.OPEN), None, False)
    to.deliver(note(Action.UPDATE, version=2, count=7), receipt(opened), False)
    to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened, 2), False)
    (message,), (reply,) = slack.messages, slack.replies
    assert (message.edits, reply.thread_ts) == (2, message.ts)
    assert "RESOLVED" in message.text
    assert "quiet for 60 s" in reply.text
    again = to.deliver(note(Action.REOPEN, version=4, reopened=1), receipt(opened, 3), False)
    assert [m.ts for m in slack.messages] == [message.ts, again.message_id], "reopening is a new message"


def test_hostile_text_mentions_nobody(slack: FakeSlack) -> None:
    receiver(slack).deliver(note(Action.OPEN), None, False)
    (message,) = slack.messages
    shown = message.everything
    for bad in ("<!channel>", "<!here>", "<@U1>", "<https://evil", "\x1b", "\x00", "\u202e"):
        assert bad not in shown
    assert "&lt;!channel&gt;" in shown
    fences = sum(str(block).count("```") for block in message.blocks)
    assert fences == 2, "the text cannot end its code block"


@pytest.mark.parametrize("text", ["&" * 5000, "<" * 2996, "x" * 100_000, "\n" * 4000, "€" * 3000, ""])
def test_long_text_stays_within_the_limits(slack: FakeSlack, text: str) -> None:
    sample = msgspec.structs.replace(incident().sample, message=text, service=text[:256], error_code=text[:256])
    receiver(slack).deliver(note(Action.OPEN, sample=sample, title=text[:150] or "x", reason=text), None, False)
    (message,) = slack.messages
    assert message.blocks, "taken with its blocks"
    assert "&am…" not in message.everything


def test_a_lost_answer_does_not_double_the_message(slack: FakeSlack) -> None:
    to = receiver(slack)
    slack.limited = False
    for other in range(3):
        to.deliver(note(Action.OPEN, incident_id=f"OTHER{other}"), None, False)
    slack.faults.cut_after = 1
    failure = undelivered(to, note(Action.OPEN))
    assert failure.unknown
    for other in range(3, 5):
        to.deliver(note(Action.OPEN, incident_id=f"OTHER{other}"), None, False)
    found = to.deliver(note(Action.OPEN, version=2, count=9), None, True)
    assert len(slack.messages) == 6
    (message,) = [m for m in slack.messages if m.ts == found.message_id]
    assert message.edits == 1, "it was found beyond the first page, and brought up to date"


def test_a_lost_answer_to_a_reply_does_not_double_it(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.faults.cut_after = 2
    with pytest.raises(Undelivered):
        to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened), False)
    with pytest.raises(Undelivered):
        to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened), True)
    slack.faults.cut_after = 0
    to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened), True)
    to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened), True)
    assert len(slack.replies) == 1


def test_a_lost_answer_to_a_reopening_finds_the_new_message_not_the_old(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    # Nothing was posted: looking must not take the old message for the new one.
    again = to.deliver(note(Action.REOPEN, version=4, reopened=1), receipt(opened), True)
    assert again.message_id != opened.message_id
    same = to.deliver(note(Action.REOPEN, version=4, reopened=1), receipt(opened), True)
    assert same.message_id == again.message_id
    assert len(slack.messages) == 2


def test_looking_finds_the_channel_by_its_name(slack: FakeSlack) -> None:
    to = receiver(slack, "#alerts")
    slack.faults.cut_after = 1
    undelivered(to, note(Action.OPEN))
    to.deliver(note(Action.OPEN), None, True)
    assert len(slack.messages) == 1


def test_429_says_how_long_to_wait(slack: FakeSlack) -> None:
    slack.faults.retry_after_s = 7
    failure = undelivered(receiver(slack), note(Action.OPEN))
    assert (failure.reason, failure.wait_s, failure.unknown) == ("ratelimited", 7.0, False)


def test_its_own_pace_stays_below_slacks(slack: FakeSlack) -> None:
    to = SlackReceiver(TOKEN, CHANNEL, slack.url)
    for sent in range(3):
        to.deliver(note(Action.OPEN, incident_id=f"I{sent}"), None, False)
    failure = undelivered(to, note(Action.OPEN))
    assert len(slack.messages) == 3
    assert failure.reason == "paced"
    assert 0 < (failure.wait_s or 0) <= 1


@pytest.mark.parametrize(
    ("token", "channel", "reason"), [("xoxb-bad", CHANNEL, "invalid_auth"), (TOKEN, "C9", "channel_not_found")]
)
def test_what_a_person_must_mend_is_said(slack: FakeSlack, token: str, channel: str, reason: str) -> None:
    failure = undelivered(receiver(slack, channel, token), note(Action.OPEN))
    assert (failure.reason, failure.misconfigured) == (reason, True)


def test_blocks_that_slack_refuses_become_plain_text(slack: FakeSlack) -> None:
    slack.faults.errors = ["invalid_blocks"]
    receiver(slack).deliver(note(Action.OPEN), None, False)
    (message,) = slack.messages
    assert (message.blocks, "it broke" in message.text) == ([], True)


def test_a_message_that_somebody_deleted_is_posted_again(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.delete(opened.message_id or "")
    resolved = to.deliver(note(Action.RESOLVE, **RESOLVED), receipt(opened), False)
    (message,), (reply,) = slack.messages, slack.replies
    assert message.ts == resolved.message_id == reply.thread_ts


def test_a_slack_that_is_away_is_known_not_to_have_it(slack: FakeSlack) -> None:
    to = receiver(slack)
    slack.close()
    failure = undelivered(to, note(Action.OPEN))
    assert (failure.reason, failure.unknown) == ("unreachable", False)


def test_an_internal_error_leaves_the_outcome_unknown(slack: FakeSlack) -> None:
    slack.faults.errors = ["internal_error"]
    assert undelivered(receiver(slack), note(Action.OPEN)).unknown
