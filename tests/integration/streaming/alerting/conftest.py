"""A Slack to write to, and the alert path's processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming.settings import Settings
from tests.support.alert_path import RULES, AlertPath, alert_path_of
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
    yield from alert_path_of(settings, environment, launch, wait_until, slack, tmp_path, RULES)
