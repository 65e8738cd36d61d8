"""One whole platform for all tests here: Airflow, servers, workers and services, brought up as a user does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.down import down
from infra.local.isolated import as_environment, isolated_settings
from infra.local.layout import Layout
from infra.local.sweep import marked
from tests.support.fake_slack import CHANNEL, FakeSlack
from tests.support.platform import Platform, vigil
from tests.support.virtualbox import deployed, host
from tests.support.virtualbox.deployed import Place

UP_WITHIN_S = 420
"""300 s are promised on two cores; CI's may be slower."""


ENDS_WITHIN_S = 600
"""A test here, with the start of the platform that the first one waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder that say nothing else have time for the platform's start."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(ENDS_WITHIN_S))


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`vigil up` on free ports, in a home of its own, writing to a Slack that keeps the real one's rules."""
    slack = FakeSlack()
    settings = isolated_settings(tmp_path_factory.mktemp("platform"), heartbeat_deadline_s=4.0)
    environment = (
        os.environ
        | as_environment(settings)
        | {
            "SLACK_BOT_TOKEN": slack.token,
            "SLACK_CHANNEL": CHANNEL,
            "SLACK_API_URL": slack.url,
            "COLUMNS": "200",
        }
    )
    try:
        said = vigil(environment, "up", timeout_s=UP_WITHIN_S)
        found = Platform(settings, environment, slack, said)
        found.pause_schedules()
        yield found
    finally:
        forced = down(settings, lambda _: None)
        slack.close()
        assert marked(Layout(settings.home)) == []
        assert forced == [], "a service had to be ended by force"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An emulated host with VirtualBox, this thread in its network; nothing is deployed yet."""
    try:
        with deployed.emulated(tmp_path) as found:
            yield found
    except host.HostUnavailable as error:
        pytest.skip(str(error))
