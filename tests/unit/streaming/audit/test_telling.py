"""What an audit tells people directly: once, not with every audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.messages import Severity
from streaming.audit.findings import Finding, Problem
from streaming.audit.telling import REPEAT_MS, read_told, tell
from streaming.settings import Settings

T0 = 1_790_000_000_000


def finding(subject: str) -> Finding:
    return Finding(problem=Problem.SILENT, subject=subject, severity=Severity.CRITICAL, reason="no beat for 2 min")


class Slack:
    """Takes messages, or does not while it is `away`."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.away = False

    def __call__(self, text: str, thread: str) -> str:
        if self.away:
            return ""
        self.said.append((text, thread))
        return thread or f"ts{len(self.said)}"

    def threads(self) -> list[str]:
        return [thread for _, thread in self.said]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_construct(home=tmp_path)


def test_what_goes_on_is_told_once_then_every_hour_in_its_thread_and_its_end(settings: Settings) -> None:
    slack = Slack()
    for minute in range(0, 126, 5):
        tell(settings, "heartbeat", [finding("a")], T0 + minute * 60_000, slack)
    assert slack.threads() == ["", "ts1", "ts1"], "at once, after one hour, after two"
    assert "(1 h so far)" in slack.said[1][0]
    for minute in (126, 131):
        tell(settings, "heartbeat", [], T0 + minute * 60_000, slack)
    assert slack.threads() == ["", "ts1", "ts1", "ts1"]
    assert "finds nothing any more" in slack.said[3][0]
    tell(settings, "heartbeat", [finding("a")], T0 + 8_000_000, slack)
    assert slack.threads()[4] == "", "a new message for what comes again"


def test_what_is_new_is_told_at_once_in_the_thread(settings: Settings) -> None:
    slack = Slack()
    tell(settings, "heartbeat", [finding("a")], T0, slack)
    tell(settings, "heartbeat", [finding("a"), finding("b")], T0 + 300_000, slack)
    tell(settings, "heartbeat", [finding("b")], T0 + 600_000, slack)
    assert slack.threads() == ["", "ts1"]
    assert "silent: b: no beat for 2 min" in slack.said[1][0]


def test_what_could_not_be_told_is_tried_with_the_next_audit(settings: Settings) -> None:
    slack = Slack()
    slack.away = True
    tell(settings, "heartbeat", [finding("a")], T0, slack)
    slack.away = False
    tell(settings, "heartbeat", [finding("a")], T0 + 300_000, slack)
    tell(settings, "heartbeat", [finding("a")], T0 + 600_000, slack)
    assert slack.threads() == [""]
    assert "(5 min so far)" in slack.said[0][0]


def test_what_ended_before_it_could_be_told_is_forgotten(settings: Settings) -> None:
    slack = Slack()
    slack.away = True
    tell(settings, "heartbeat", [finding("a")], T0, slack)
    slack.away = False
    tell(settings, "heartbeat", [], T0 + REPEAT_MS, slack)
    assert slack.said == []
    assert read_told(settings, "heartbeat") is None


def test_kinds_of_audits_are_told_apart(settings: Settings) -> None:
    slack = Slack()
    tell(settings, "heartbeat", [finding("a")], T0, slack)
    tell(settings, "pipeline", [finding("a")], T0, slack)
    assert slack.threads() == ["", ""]
