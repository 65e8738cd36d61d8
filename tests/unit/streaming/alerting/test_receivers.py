"""What receivers show: one line, or blocks, of hostile text."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Sample, Severity
from streaming.alerting.receivers import make_receivers
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.console import ConsoleReceiver, line_of
from streaming.alerting.receivers.slack_blocks import SECTION_LIMIT, blocks_of, code_block, escaped, resolution
from streaming.alerting.routes import receivers_for
from streaming.alerting.text import one_line, printable
from streaming.events.model import Level
from streaming.settings import Settings


def incident(text: str = "it broke") -> Incident:
    return Incident(
        incident_id="ABC",
        incident_key="r",
        rule_id="r",
        group={},
        severity=Severity.CRITICAL,
        title=text,
        state=IncidentState.FIRING,
        version=1,
        count=2,
        opened_ms=0,
        first_ms=-1,
        last_ms=10**18,
        updated_ms=0,
        last_received_ms=0,
        sample=Sample(timestamp_ms=0, level=Level.ERROR, message=text, service=text, node_id=text, error_message=text),
        resolve_after_s=None,
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


def test_a_console_that_is_closed_is_undelivered() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(Undelivered):
        ConsoleReceiver(Closed()).deliver(note("x"), None, False)


@given(st.text(alphabet=st.sampled_from("&<>a`\n\x1b\ud800é"), max_size=60), st.integers(1, 80))
def test_escaping_leaves_nothing_that_slack_reads_and_no_half_entity(text: str, limit: int) -> None:
    safe = escaped(text, limit)
    assert len(safe) <= limit
    assert not set(safe) & set("<>")
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", safe, flags=re.S)
    safe.encode()


@given(st.text(max_size=200) | st.text(alphabet="&`<", min_size=3000, max_size=6000))
def test_blocks_stay_within_slacks_limits(text: str) -> None:
    blocks = blocks_of(incident(text))
    assert len(blocks) <= 50
    for text_object in _texts(blocks):
        assert 0 < len(text_object) <= SECTION_LIMIT
        assert "<!channel" not in text_object
    assert code_block(text).count("```") == 2
    assert len(resolution(incident(text))) < SECTION_LIMIT
    msgspec.json.encode(blocks)


def _texts(blocks: list[dict[str, object]]) -> list[str]:
    found: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                found.append(value["text"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(blocks)
    return found


def test_text_helpers() -> None:
    assert one_line("a\n\tb\x1b c", 100) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert printable("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"


def test_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    plain = Settings()
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_CHANNEL", "C1")
    slack = Settings()
    assert receivers_for("default", plain) == ("console",)
    assert receivers_for("default", slack) == ("slack",)
    assert receivers_for("no-such-route", slack) == ("slack",)
    assert receivers_for("canary", slack) == ("canary",)
    assert {r.name for r in make_receivers(plain)} == {"canary", "console"}
    assert {r.name for r in make_receivers(slack)} == {"canary", "console", "slack"}
