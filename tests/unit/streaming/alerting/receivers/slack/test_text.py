"""What Slack makes of log text: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.alerting.messages import Action
from streaming.alerting.receivers.base import Digest, Notice
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.alerting.receivers.slack.pace import Paces
from tests.support.fake_slack import CHANNEL, TOKEN, DirectClient, FakeSlack
from tests.support.incidents import Told, a_notification, receipt_of

EVIL = "see https://evil.example/login and #general"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeSlack]:
    fake = FakeSlack()
    fake.limited = False
    yield fake
    fake.close()


@pytest.fixture
def slack(running: FakeSlack) -> FakeSlack:
    running.posted.clear()
    return running


def receiver(slack: FakeSlack) -> SlackReceiver:
    return SlackReceiver(
        TOKEN, CHANNEL, slack.url, clock=lambda: 0.0, messages_per_s=1e9, paces=Paces(), web=DirectClient(slack)
    )


def test_no_address_in_a_log_is_a_link(slack: FakeSlack) -> None:
    told = Told(receiver(slack))
    for version, action in enumerate((Action.OPEN, Action.UPDATE, Action.REPEAT, Action.ESCALATE, Action.RESOLVE), 1):
        told.of(a_notification(action, version=version, title=EVIL, text=EVIL, reason=EVIL, owner=EVIL))
    assert len(slack.replies) == 2
    assert len(slack.messages) == 2
    assert [message.text for message in slack.posted if message.links] == []


def test_nor_in_a_digest(slack: FakeSlack) -> None:
    one = receiver(slack)
    notification = a_notification(title=EVIL)
    members = (receipt_of(notification, one.deliver(notification, None, False)),)
    message = one.write_digest(Digest("D000000000001x", 1, members, None), False)
    one.write_notice(Digest("D000000000001x", 1, members, message), Notice("R1", 1, Action.REPEAT, members), False)
    assert len(slack.posted) == 3
    assert not any(posted.links for posted in slack.posted)


def test_nor_where_slack_takes_no_blocks(slack: FakeSlack) -> None:
    told = Told(receiver(slack))
    slack.faults.errors = ["invalid_blocks"]
    told.of(a_notification(title=EVIL))
    slack.faults.errors = ["invalid_blocks"]
    told.of(a_notification(Action.UPDATE, version=2, title=EVIL))
    (message,) = slack.messages
    assert (message.blocks, message.edits, message.links) == ([], 1, False)
