"""A Slack to write to, and the alert path's processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming.settings import Settings
from tests.support.alert_path import RULES, AlertPath
from tests.support.fake_slack import FakeSlack

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """The alert path never touches Elasticsearch."""
    return ("kafka",)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A Slack that keeps the real one's rules."""
    server = FakeSlack()
    yield server
    server.close()


@pytest.fixture
def alert_path(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[[Callable[[], object], float, str], object],
    slack: FakeSlack,
    tmp_path: Path,
) -> Iterator[AlertPath]:
    """Matcher, manager and notifier as real processes on topics of their own, writing to `slack`; none started yet."""
    rules = tmp_path / "rules" / "rules.yaml"
    rules.parent.mkdir()
    variables = environment | {
        "VIGIL_RULES_PATH": str(rules.parent),
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_CHANNEL": "C0123456789",
        "SLACK_API_URL": slack.url,
    }
    path = AlertPath(settings, variables, launch, wait_until, rules)
    path.write_rules(RULES)
    yield path
    path.flush()
