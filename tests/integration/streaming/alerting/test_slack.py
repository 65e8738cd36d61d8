"""The Slack receiver against a Slack that keeps the real one's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from streaming.alerting.messages import Action, IncidentState, Notification
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.alerting.receivers.slack.pace import Paces
from tests.support.fake_slack import CHANNEL, OTHER_CHANNEL, TOKEN
from tests.support.told import incident, note, receipt

if TYPE_CHECKING:
    from tests.support.fake_slack import FakeSlack

RESOLVED = {"state": IncidentState.RESOLVED, "version": 3, "reason": "quiet for 60 s", "count": 7}


class Clock:
    """Time for the pacing alone: each look is a minute later, so that it never holds a test up."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


def receiver(slack: FakeSlack, channel: str = CHANNEL, token: str = TOKEN) -> SlackReceiver:
    return SlackReceiver(token, channel, slack.url, Clock(), people={"Ada": "U0ADA0000"}, paces=Paces())


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
    to = SlackReceiver(TOKEN, CHANNEL, slack.url, paces=Paces())
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


REPEATED = {
    "version": 5,
    "repeated_ms": incident().updated_ms + 3_600_000,
    "updated_ms": incident().updated_ms + 3_600_000,
}
RAISED = {"version": 6, "escalated": 1, "updated_ms": incident().updated_ms + 900_000}


def test_a_repeat_is_one_reply_whatever_becomes_of_the_answer(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.faults.cut_after = 2
    for look_first in (False, True):
        with pytest.raises(Undelivered) as failed:
            to.deliver(note(Action.REPEAT, ("Ada",), **REPEATED), receipt(opened), look_first)
        assert failed.value.unknown
    # Meanwhile it counted on: the repeat that waits says how it is now, and is still the same repeat.
    to.deliver(note(Action.REPEAT, ("Ada",), **{**REPEATED, "version": 7, "count": 9}), receipt(opened), True)
    (reply,) = slack.replies
    assert reply.thread_ts == slack.messages[0].ts
    assert "Still firing after 1 h" in reply.text
    assert "<@U0ADA0000>" in reply.text
    again = {**REPEATED, "repeated_ms": incident().updated_ms + 7_200_000}
    to.deliver(note(Action.REPEAT, **again), receipt(opened), True)
    assert len(slack.replies) == 2, "the next time it is due it is told again"


def test_a_repeat_to_whom_it_was_never_told_is_its_message(slack: FakeSlack) -> None:
    receiver(slack).deliver(note(Action.REPEAT, **REPEATED), None, False)
    assert (len(slack.messages), len(slack.replies)) == (1, 0)


def test_a_repeat_in_a_thread_that_was_deleted_is_a_message(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.delete(opened.message_id or "")
    shown = to.deliver(note(Action.REPEAT, **REPEATED), receipt(opened), False)
    assert [m.ts for m in slack.messages] == [shown.message_id]


def test_an_escalation_is_a_new_message_that_refers_to_the_first(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.faults.cut_after = 1
    with pytest.raises(Undelivered) as failed:
        to.deliver(note(Action.ESCALATE, ("Ada",), **RAISED), receipt(opened), False)
    assert failed.value.unknown
    shown = to.deliver(note(Action.ESCALATE, ("Ada",), **RAISED), receipt(opened), True)
    assert shown == opened, "what follows edits the incident's own message"
    first, raised = slack.messages
    assert raised.event == "vigil_incident_escalated"
    assert f"https://slack.test/archives/{CHANNEL}/p{first.ts.replace('.', '')}" in raised.everything
    assert "<@U0ADA0000>" in raised.text
    assert "nobody has acknowledged it for 15 min" in first.everything
    to.deliver(note(Action.ESCALATE, **{**RAISED, "escalated": 2}), receipt(opened), True)
    assert len(slack.messages) == 3, "the next step is another message"


def test_an_escalation_into_another_channel_is_the_incidents_message_there(slack: FakeSlack) -> None:
    other = receiver(slack, OTHER_CHANNEL)
    raised = other.deliver(note(Action.ESCALATE, ("Ada",), **RAISED), None, False)
    other.deliver(note(Action.RESOLVE, **RESOLVED), receipt(raised), False)
    (message,), (reply,) = slack.messages, slack.replies
    assert (message.channel, reply.channel) == (OTHER_CHANNEL, OTHER_CHANNEL)
    assert "RESOLVED" in message.text


def test_an_address_that_slack_does_not_tell_holds_no_escalation_up(slack: FakeSlack) -> None:
    to = receiver(slack)
    opened = to.deliver(note(Action.OPEN), None, False)
    slack.delete(opened.message_id or "")
    to.deliver(note(Action.ESCALATE, **RAISED), receipt(opened), False)
    assert [m.event for m in slack.messages] == ["vigil_incident_escalated", "vigil_incident"]


def test_receivers_of_one_channel_share_its_pace(slack: FakeSlack) -> None:
    paces, clock = Paces(), lambda: 0.0
    one, two = (SlackReceiver(TOKEN, CHANNEL, slack.url, clock, name=n, paces=paces) for n in ("one", "two"))
    other = SlackReceiver(TOKEN, OTHER_CHANNEL, slack.url, clock, paces=paces)
    for number in range(3):
        (one, two)[number % 2].deliver(note(Action.OPEN, incident_id=f"I{number}"), None, False)
    assert undelivered(two, note(Action.OPEN, incident_id="I3")).reason == "paced"
    other.deliver(note(Action.OPEN, incident_id="I4"), None, False)


def test_what_slack_asks_to_wait_holds_every_receiver_of_the_channel(slack: FakeSlack) -> None:
    paces, clock = Paces(), lambda: 0.0
    one, two = (SlackReceiver(TOKEN, CHANNEL, slack.url, clock, name=n, paces=paces) for n in ("one", "two"))
    slack.faults.retry_after_s = 30
    undelivered(one, note(Action.OPEN))
    failure = undelivered(two, note(Action.OPEN, incident_id="I2"))
    assert (failure.reason, failure.wait_s) == ("paced", 30)


def test_edits_that_must_wait_hold_no_new_message_up(slack: FakeSlack) -> None:
    clock = [0.0]
    to = SlackReceiver(TOKEN, CHANNEL, slack.url, lambda: clock[0], paces=Paces())
    opened = to.deliver(note(Action.OPEN), None, False)
    for version in range(2, 12):
        to.deliver(note(Action.UPDATE, version=version), receipt(opened), False)
    with pytest.raises(Undelivered) as failed:
        to.deliver(note(Action.UPDATE, version=12), receipt(opened), False)
    assert (failed.value.reason, failed.value.only_this) == ("paced", True)
    to.deliver(note(Action.OPEN, incident_id="I2"), None, False)
    assert slack.refused == 0


def test_an_expired_token_is_for_a_person_to_mend(slack: FakeSlack) -> None:
    slack.token_fault = "token_expired"
    failure = undelivered(receiver(slack), note(Action.OPEN))
    assert (failure.reason, failure.misconfigured, failure.unknown) == ("token_expired", True, False)


def test_blocks_that_are_too_long_together_become_plain_text(slack: FakeSlack) -> None:
    slack.faults.errors = ["msg_blocks_too_long"]
    receiver(slack).deliver(note(Action.OPEN), None, False)
    assert slack.messages[0].blocks == []


def test_a_write_that_was_cut_before_slack_took_it_is_posted_by_the_next_attempt(slack: FakeSlack) -> None:
    to = receiver(slack)
    slack.faults.cut_before = 1
    assert undelivered(to, note(Action.OPEN)).unknown
    to.deliver(note(Action.OPEN), None, True)
    assert len(slack.messages) == 1
