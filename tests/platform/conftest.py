"""One whole platform for all tests here: Airflow, servers, workers and services, brought up as a user does."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra.local.down import down
from infra.local.isolated import as_environment, isolated_settings
from infra.local.layout import Layout
from infra.local.sweep import marked
from tests.support.fake_slack import CHANNEL, FakeSlack
from tests.support.platform import Platform, vigil

UP_WITHIN_S = 420
"""300 s are promised on two cores; CI's may be slower."""


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
        yield Platform(settings, environment, slack, said)
    finally:
        forced = down(settings, lambda _: None)
        slack.close()
        assert marked(Layout(settings.home)) == []
        assert forced == [], "a service had to be ended by force"
