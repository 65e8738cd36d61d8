"""What receivers show: one line, or blocks, of hostile text."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import Action, Incident, Notification, Sample, Severity
from streaming.alerting.receivers import wanted_receivers
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.console import ConsoleReceiver, line_of
from streaming.alerting.routes import default_receiver
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.text import one_line, printable
from streaming.events.model import Level
from streaming.settings import Settings
from tests.support.incidents import plain_incident


def incident(text: str = "it broke") -> Incident:
    return plain_incident(
        incident_id="ABC",
        severity=Severity.CRITICAL,
        title=text,
        count=2,
        first_ms=-1,
        last_ms=10**18,
        sample=Sample(timestamp_ms=0, level=Level.ERROR, message=text, service=text, node_id=text, error_message=text),
        reason=text,
    )


def note(text: str) -> Notification:
    return Notification(action=Action.OPEN, incident=incident(text), created_ms=1_700_000_000_000)


def test_the_console_line() -> None:
    assert line_of(note("it broke")) == (
        "2023-11-14T22:13:20.000+00:00 OPEN [critical] it broke | 2 events, firing (it broke) | it broke | ABC"
    )


@given(st.text())
def test_a_console_line_is_one_line_that_no_text_can_command_the_terminal_with(text: str) -> None:
    out = io.StringIO()
    ConsoleReceiver(out).deliver(note(text), None, False)
    (line,) = out.getvalue().splitlines()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", line)
    line.encode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_console_of_few_letters_shows_the_others_as_escapes(encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    ConsoleReceiver(out).deliver(note("Ж💥"), None, False)
    assert b"\\u0416\\U0001f4a5" in out.buffer.getvalue()


def test_a_console_that_is_closed_is_undelivered() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(Undelivered):
        ConsoleReceiver(Closed()).deliver(note("x"), None, False)


def test_text_helpers() -> None:
    assert one_line("a\n\tb\x1b c", 100) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert printable("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"


def test_built_in_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    plain = Settings()
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_CHANNEL", "C1")
    slack = Settings()
    assert default_receiver(plain) == "console"
    assert default_receiver(slack) == "slack"
    assert set(wanted_receivers(RuleSet(), plain)) == {"canary", "console"}
    assert set(wanted_receivers(RuleSet(), slack)) == {"canary", "console", "slack"}
