"""A Slack to write to, and the alert path's processes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from streaming.settings import Settings

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from tests.integration.streaming.alerting.fake_slack import FakeSlack
    from tests.integration.streaming.alerting.processes import AlertPath

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    """A module of this folder: tests are no package."""
    full = f"alerting_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """The alert path never touches Elasticsearch."""
    return ("kafka",)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A Slack that keeps the real one's rules."""
    server: FakeSlack = _module("fake_slack").FakeSlack()
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
    processes = _module("processes")
    path: AlertPath = processes.AlertPath(settings, variables, launch, wait_until, rules)
    path.write_rules(processes.RULES)
    yield path
    path.flush()
