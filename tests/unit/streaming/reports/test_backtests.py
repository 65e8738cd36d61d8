"""The page of a backtest."""

from __future__ import annotations

from typing import Any

from streaming.alerting.messages import IncidentState, Severity
from streaming.alerting.rehearsal.summary import FiredIncident, RuleFigures, Summary
from streaming.reports.backtests import INCIDENTS_SHOWN, brief, page_of
from streaming.reports.page import Page
from streaming.reports.rendering import html_of
from streaming.reports.view import harmless

T0 = 1_790_000_000_000
HOUR = 3_600_000


def fired(number: int, rule: str = "errors", **changes: Any) -> FiredIncident:
    known: dict[str, Any] = {
        "incident_id": f"I{number}",
        "rule_id": rule,
        "severity": Severity.ERROR,
        "title": "<script>alert(1)</script>",
        "group": {"service.name": f"s{number}"},
        "state": IncidentState.RESOLVED,
        "count": 3,
        "opened_ms": T0 + number * 1_000,
        "resolved_ms": T0 + HOUR,
        "reopened": 0,
        "muted_by": "",
    }
    return FiredIncident(**(known | changes))


def summary(*incidents: FiredIncident, version: str = "abc", told: int = 4) -> Summary:
    figures = RuleFigures(
        rule_id="errors", kind="match", incidents=len(incidents), logs=3 * len(incidents), interruptions=told
    )
    idle = RuleFigures(rule_id="idle", kind="absence", incidents=0, logs=0, interruptions=0)
    return Summary(
        since_ms=T0,
        until_ms=T0 + 24 * HOUR,
        source="kafka",
        logs=1_000,
        rules_version=version,
        rules=(figures, idle),
        incidents=incidents,
        interruptions={"slack": told} if told else {},
    )


def texts(page: Page, section: str) -> list[list[str]]:
    (found,) = [one for one in page.sections if one.id == section]
    return [[cell.text for cell in row] for table in found.tables for row in table.rows]


def test_rules_incidents_and_receivers_are_shown() -> None:
    page = page_of(summary(fired(0), fired(1, state=IncidentState.FIRING, resolved_ms=None)), None, "UTC")
    assert [figure.value for figure in page.figures] == ["2", "4", "1 of 2", "1,000"]
    assert texts(page, "rules") == [["errors", "match", "2", "6", "4"], ["idle", "absence", "0", "0", "0"]]
    assert [row[4] for row in texts(page, "incidents")] == ["1 h", "23 h 59 min, open"]
    assert texts(page, "receivers") == [["slack", "4"]]
    assert "UTC" in page.subtitle


def test_another_set_stands_beside_it_and_what_it_told_more() -> None:
    page = page_of(summary(fired(0)), summary(fired(0), fired(7), version="old", told=9), "UTC")
    assert "compared with old" in page.subtitle
    assert texts(page, "rules")[0] == ["errors", "match", "1", "3", "4", "9"]
    assert [row[2] for row in texts(page, "gone")] == ["errors"]
    assert texts(page, "receivers") == [["slack", "4", "9"]]
    assert page.figures[1].about[0].text == "−5 (−56\N{NO-BREAK SPACE}%) to the other set"


def test_of_many_incidents_the_first_are_shown_and_the_rest_is_said() -> None:
    page = page_of(summary(*map(fired, range(INCIDENTS_SHOWN + 5))), None, "UTC")
    (section,) = [one for one in page.sections if one.id == "incidents"]
    assert len(section.tables[0].rows) == INCIDENTS_SHOWN
    assert section.about == ["The first 200; 5 more are in backtest.json."]


def test_nothing_fired() -> None:
    page = page_of(summary(told=0), None, "UTC")
    (section,) = [one for one in page.sections if one.id == "incidents"]
    assert section.about == ["Nothing would have fired."]
    assert "receivers" not in {one.id for one in page.sections}


def test_titles_are_text_in_the_page() -> None:
    html = html_of(harmless(page_of(summary(fired(0)), None, "UTC")))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_in_a_line() -> None:
    assert brief(summary(fired(0)), None) == (
        "Rule set abc would have opened 1 incident and sent 4 messages over 24 h."
    )
    assert brief(summary(fired(0)), summary(version="old", told=1)).endswith(
        "; old over the same logs: 0 incidents, 1 message."
    )
