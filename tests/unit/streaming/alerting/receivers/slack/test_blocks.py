"""What an incident looks like in Slack: complete, within the limits, and harmless whatever a log says."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.messages import IncidentState, Severity
from streaming.alerting.receivers.links import Links
from streaming.alerting.receivers.slack.blocks import blocks_of, escalation, headline, repeat, resolution
from streaming.alerting.receivers.slack.mrkdwn import (
    SECTION_LIMIT,
    code_block,
    duration,
    escaped,
    line,
    link,
    mentions,
)
from streaming.alerting.receivers.slack.view import View
from tests.support.slack_rules import content_fault
from tests.support.told import NOON_MS, incident

FULL = View({"Ada": "U0ADA0000"}, Links("https://vigil.example/ui", "https://kibana.example"), buttons=True)


@given(st.text(alphabet=st.sampled_from("&<>a`\n\x1b\ud800é"), max_size=60), st.integers(1, 80))
def test_escaping_leaves_nothing_that_slack_reads_and_no_half_entity(text: str, limit: int) -> None:
    safe = escaped(text, limit)
    assert len(safe) <= limit
    assert not set(safe) & set("<>")
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", safe, flags=re.S)
    safe.encode()
    assert "\n" not in line(text, limit)


@settings(max_examples=50)
@given(st.text(max_size=200) | st.text(alphabet="&`<\n*", min_size=3000, max_size=6000), st.booleans())
def test_a_message_stays_within_slacks_limits(text: str, named: bool) -> None:
    sample = msgspec.structs.replace(
        incident().sample, message=text, service=text, node_id=text, error_message=text, trace_id=text, log_id=text
    )
    told = incident(sample=sample, title=text, text=text, reason=text, owner=text, acknowledged_by=text or None)
    shown = blocks_of(told, FULL, ("Ada", text) if named else ())
    assert content_fault({"text": headline(told), "blocks": shown}) is None
    assert json.dumps(shown).count("```") == 2
    for said in (resolution(told), repeat(told, FULL, ("Ada",))):
        assert len(said) < SECTION_LIMIT
    title, raised = escalation(told, FULL, ("Ada",), "https://slack.example/p1")
    assert content_fault({"text": title, "blocks": raised}) is None
    assert not re.search(r"<(?!@U0ADA0000>|!date\^|https://(?:vigil|kibana|slack|example)\b)", json.dumps(shown))
    assert code_block(text).count("```") == 2


def test_it_says_all_that_a_person_needs() -> None:
    told = incident(
        owner="shop", text="Payments fail & nobody pays", count=1234, severity=Severity.CRITICAL, reopened=2
    )
    shown = json.dumps(blocks_of(told, FULL, ("Ada", "Bob")), ensure_ascii=False)
    for part in (
        ":rotating_light: CRITICAL: order E1: it broke &lt;!here&gt;",
        "<@U0ADA0000> Bob",
        "Payments fail &amp; nobody pays",
        "*Service*\\norder",
        "*Node*\\nn1",
        "*Error code*\\nE1",
        "*Owner*\\nshop",
        "*Count*\\n1,234",
        f"*First seen*\\n<!date^{NOON_MS // 1000}^",
        "*Trace*\\n`tttt",
        "&lt;!channel&gt; &lt;@U12345&gt;",
        "<https://example.org/run?a=1&amp;b=2|Run book>",
        "|Logs>",
        "|Kibana>",
        "Incident `ABCDEFGHIJ` · rule `r` · firing · reopened 2 times",
    ):
        assert part in shown, part


@pytest.mark.parametrize(
    ("state", "changes", "said"),
    [
        (IncidentState.SILENCED, {"muted_by": "silence S1"}, "silenced: silence S1"),
        (IncidentState.PENDING, {}, "pending"),
        (IncidentState.ACKNOWLEDGED, {"acknowledged_by": "ada"}, "acknowledged by ada"),
        (
            IncidentState.ACKNOWLEDGED,
            {"acknowledged_by": "ada", "muted_by": "maintenance m"},
            "acknowledged by ada · muted: maintenance m",
        ),
        (IncidentState.RESOLVED, {"reason": "quiet for 60 s"}, "resolved · quiet for 60 s"),
    ],
)
def test_the_footer_says_how_it_stands(state: IncidentState, changes: dict[str, object], said: str) -> None:
    shown = json.dumps(blocks_of(incident(state=state, **changes), View()), ensure_ascii=False)
    assert f"rule `r` · {said}" in shown


@pytest.mark.parametrize(
    ("changes", "pressed"),
    [
        ({}, ["Acknowledge", "Silence 1 h"]),
        ({"resolve_after_s": None}, ["Acknowledge", "Silence 1 h", "Resolve"]),
        ({"state": IncidentState.ACKNOWLEDGED}, ["Silence 1 h"]),
        ({"state": IncidentState.SILENCED, "muted_by": "silence S1"}, ["Acknowledge"]),
        ({"state": IncidentState.RESOLVED}, []),
    ],
)
def test_only_what_can_be_done_can_be_pressed(changes: dict[str, object], pressed: list[str]) -> None:
    found = re.findall(
        r'"text": \{"type": "plain_text", "text": "([^"]+)"', json.dumps(blocks_of(incident(**changes), FULL))
    )
    assert found == pressed
    assert "button" not in json.dumps(blocks_of(incident(**changes), View())), "none where nobody would answer"


def test_a_repeat_says_why_it_comes() -> None:
    later = NOON_MS + 2 * 3_600_000 + 5 * 60_000
    assert "Still firing after 2 h 5 min" in repeat(incident(updated_ms=later, repeated_ms=later), View())
    fires = incident(updated_ms=later, firing_since_ms=later, reason="no longer muted (silence S1)")
    assert "Fires again: no longer muted (silence S1)" in repeat(fires, View())


def test_an_escalation_names_people_and_refers_to_the_message() -> None:
    raised = incident(escalated=2, updated_ms=NOON_MS + 900_000)
    title, shown = escalation(raised, FULL, ("Ada",), "https://slack.example/archives/C1/p1")
    assert "ERROR: order E1" in title
    assert "nobody has acknowledged it for 15 min" in json.dumps(shown)
    assert "<https://slack.example/archives/C1/p1|The incident's message>" in json.dumps(shown)
    assert "<@U0ADA0000>" in json.dumps(shown)


def test_people_are_called_by_their_ids_alone() -> None:
    people = {"Ada": "U0ADA0000", "Eve": "!channel", "Mallory": "U1> <!here"}
    assert mentions(("Ada", "Eve", "Mallory", "<!here>"), people) == "<@U0ADA0000> Eve Mallory &lt;!here&gt;"


@pytest.mark.parametrize("address", ["", "https://a|b", "https://a>b", "https://a b", "https://a\nb"])
def test_an_address_that_would_break_out_of_its_link_is_none(address: str) -> None:
    assert link(address, "x") == ""


def test_times_are_said_in_two_units() -> None:
    assert [duration(s * 1000) for s in (-1, 0, 59, 60, 125, 3600, 7500, 90_000, 86_400 * 3)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "2 min",
        "1 h",
        "2 h 5 min",
        "1 d 1 h",
        "3 d",
    ]
