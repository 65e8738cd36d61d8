"""Notes in a thread: harmless, within Slack's limits, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import NOTE_LIMIT, Action, Note, Notification
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.alerting.receivers.slack.notes import TEXT_LIMIT, note_text
from streaming.alerting.receivers.slack.pace import Paces
from tests.support.fake_slack import CHANNEL, TOKEN, DirectClient, FakeSlack
from tests.support.hostile import NASTY_TEXTS
from tests.support.told import HOSTILE, note, receipt


def noted(text: str, author: str = "ann", note_id: str = "n1") -> Note:
    return Note(note_id=note_id, author=author, text=text)


def test_what_is_indented_is_code() -> None:
    shown = note_text(noted("Last logs:\n    12:00 a `b`\n    12:01 c\nand more <!here>"), "ABCDEFGHIJ")
    assert shown == (":memo: *Note by ann*\nLast logs:\n```\n12:00 a ˋbˋ\n12:01 c\n```\nand more &lt;!here&gt;")


def test_a_line_that_is_an_address_is_a_link_and_no_other() -> None:
    said = "Run book: https://wiki/a?b=1&c\nsee https://evil/ <https://evil>\n    Run book: https://evil/"
    shown = note_text(noted(said), "ABCDEFGHIJ").split("\n", 1)[1]
    assert shown == (
        "Run book: <https://wiki/a?b=1&amp;c|https://wiki/a?b=1&amp;c>\n"
        "see https://evil/ &lt;https://evil&gt;\n```\nRun book: https://evil/\n```"
    )


def test_what_does_not_fit_is_cut_and_said_where_it_is() -> None:
    for text in ("&" * NOTE_LIMIT, "    " + "&" * 2900, "a\n    b\n" * 375):
        shown = note_text(noted(text), "ABCDEFGHIJ")
        assert len(shown) <= TEXT_LIMIT
        assert shown.endswith("… the rest: `vigil incidents show ABCDEFGHIJ`")
        assert shown.count("```") % 2 == 0


_LINES = st.lists(st.tuples(st.sampled_from(["", "    "]), st.sampled_from(NASTY_TEXTS) | st.text(max_size=80)))


@given(_LINES, st.text(max_size=50))
def test_whatever_it_says(lines: list[tuple[str, str]], author: str) -> None:
    text = "\n".join(indent + line for indent, line in lines)[:NOTE_LIMIT]
    shown = note_text(noted(text, author), "ABCDEFGHIJ")
    assert len(shown) <= TEXT_LIMIT
    assert not re.search(r"<(?!https?://)", shown), "mentions nobody"
    assert shown.count("```") % 2 == 0
    assert "\x1b" not in shown


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()


def receiver(slack: FakeSlack) -> SlackReceiver:
    return SlackReceiver(TOKEN, CHANNEL, slack.url, paces=Paces(), web=DirectClient(slack))


def annotation(version: int, text: str = HOSTILE) -> Notification:
    told = note(Action.ANNOTATE, version=version)
    return msgspec.structs.replace(told, note=noted(text, note_id=f"n{version}"))


def test_each_is_a_reply_once_whatever_becomes_of_the_answer(slack: FakeSlack) -> None:
    one = receiver(slack)
    message = one.deliver(note(Action.OPEN), None, False)
    known = receipt(message)
    slack.faults.cut_after = 1
    with pytest.raises(Undelivered) as lost:
        one.deliver(annotation(2), known, False)
    assert lost.value.unknown
    assert one.deliver(annotation(2), known, True) == message
    one.deliver(annotation(3, "another"), known, True)
    assert [reply.thread_ts for reply in slack.replies] == [message.message_id] * 2
    assert slack.messages[0].edits == 0, "the incident's message stays as it is"
    assert "<!channel>" not in slack.replies[0].text


def test_where_there_is_no_thread_nothing_is_posted(slack: FakeSlack) -> None:
    one = receiver(slack)
    assert one.deliver(annotation(2), receipt(), False) == Delivered()
    message = one.deliver(note(Action.OPEN), None, False)
    slack.delete(message.message_id or "")
    assert one.deliver(annotation(2), receipt(message), False) == message
    assert slack.replies == []
