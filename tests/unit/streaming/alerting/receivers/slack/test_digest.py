"""What a digest looks like: complete, within the limits, and harmless whatever a log says."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.messages import Action, IncidentState, Receipt, Severity
from streaming.alerting.receivers.base import Delivered, Digest, Notice
from streaming.alerting.receivers.slack import Links, View
from streaming.alerting.receivers.slack.digest import SHOWN, digest_blocks, headline_of, notice_text
from streaming.alerting.receivers.slack.mrkdwn import SECTION_LIMIT
from tests.support.slack_rules import content_fault
from tests.support.told import receipt

VIEW = View({"Ada": "U0ADA0000"}, Links("https://vigil.example"), buttons=True)
FIRING, TAKEN, OVER = IncidentState.FIRING, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED


def member(number: int, severity: Severity = Severity.ERROR, state: IncidentState = FIRING, **more: object) -> Receipt:
    return receipt(incident_id=f"I{number:09d}", severity=severity, state=state, title=f"E{number}", **more)


def digest(*members: Receipt, mentions: tuple[str, ...] = ()) -> Digest:
    return Digest("D0", 0, members, Delivered("1.1", "C1"), mentions)


def lines(of: Digest, view: View = VIEW) -> list[str]:
    return [str(block["text"]["text"]) for block in digest_blocks(of, view)[2:-1]]  # type: ignore[index]


def test_totals_count_all_and_the_list_shows_the_most_urgent_twenty() -> None:
    members = [
        *(member(n, Severity.WARNING, rule_id="slow") for n in range(1000)),
        *(member(n, Severity.CRITICAL, TAKEN) for n in range(1000, 1002)),
        *(member(n, Severity.CRITICAL, OVER) for n in range(1002, 1006)),
        member(1006, Severity.ERROR),
    ]
    shown = json.dumps(digest_blocks(digest(*members, mentions=("Ada",)), VIEW), ensure_ascii=False)
    assert headline_of(digest(*members)) == ":rotating_light: 1,007 incidents at once"
    assert "<@U0ADA0000>" in shown
    assert "*4 of 1,007 resolved* · 2 acknowledged" in shown
    assert ":rotating_light: 6 critical · :red_circle: 1 error · :warning: 1,000 warning" in shown
    assert "Rules: `slow` 1,000 · `r` 7" in shown
    assert "The 20 worst of 1,007 are shown · <https://vigil.example/incidents?state=open|The whole list>" in shown
    listed = lines(digest(*members))
    assert len(listed) == SHOWN
    assert listed[0].startswith(":red_circle: E1006 ")
    assert listed[1].startswith(":warning: E0 · <https://vigil.example/incidents/I000000000|I000000000>")
    assert shown.count("Acknowledge") == SHOWN


def test_when_all_are_over_it_says_so_and_has_no_buttons() -> None:
    over = digest(*(member(n, state=OVER) for n in range(12)))
    assert headline_of(over) == ":white_check_mark: RESOLVED: all 12 incidents of a burst"
    assert "button" not in json.dumps(digest_blocks(over, VIEW))


def test_without_a_page_and_buttons_the_command_line_is_named() -> None:
    shown = json.dumps(digest_blocks(digest(member(1), member(2)), View()))
    assert "`vigil incidents`" in shown
    assert "`I000000001`" in shown
    assert "button" not in shown


@settings(max_examples=40)
@given(st.text(max_size=40) | st.text(alphabet="&<>`*\n|", min_size=150, max_size=300), st.integers(1, 60))
def test_any_titles_stay_within_slacks_limits_and_mention_nobody(text: str, number: int) -> None:
    members = [
        receipt(incident_id=f"I{n:09d}", title=text, rule_id=f"{n % 30}-{'r' * 60}", severity=list(Severity)[n % 4])
        for n in range(number)
    ]
    of = digest(*members, mentions=("Ada", text))
    shown = digest_blocks(of, VIEW)
    assert content_fault({"text": headline_of(of), "blocks": shown}) is None
    assert len(json.dumps(shown, ensure_ascii=False)) < 12_000, "well below what Slack takes of all blocks"
    assert not re.search(r"<(?!@U0ADA0000>|https://vigil\.example/)", json.dumps(shown))
    for action in (Action.ESCALATE, Action.REPEAT, Action.RESOLVE):
        told = notice_text(of, Notice("N0", 0, action, members, ("Ada",)), VIEW, "https://slack.example/p1")
        assert len(told) <= SECTION_LIMIT
