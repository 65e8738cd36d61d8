"""The broker's disk is lost: from a backup the alert path goes on as if it had not been."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.isolated import as_environment, isolated_settings
from infra.local.stack import running
from streaming.alerting.messages import Incident
from streaming.alerting.state import read_incidents
from streaming.forward.sender import ForwardSender
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.settings import CHECKOUT, Settings
from tests.support.fake_slack import CHANNEL, FakeSlack
from tests.support.platform import vigil, wait_until

NODES = {"backup-1", "accumulator1", "vigil-pipeline"}
RULES = """\
rules:
  - id: error-log
    kind: match
    where: {levels: [ERROR]}
    group_by: [service.name, error.code]
    severity: error
    title: "{{ service.name }} {{ error.code }}: {{ message }}"
    resolve_after: 1h
"""
"""None of the pipeline's health: this platform has no indexer, which takes a minute to become an incident."""
SERVICES = ("kafka", "matcher", "manager", "notifier", "heartbeat-monitor", "accumulator1")


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    server = FakeSlack()
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_incidents_and_their_messages_survive_the_loss_of_the_brokers_disk(tmp_path: Path, slack: FakeSlack) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    settings = isolated_settings(
        tmp_path / "home",
        rules_path=rules,
        SLACK_BOT_TOKEN=slack.token,
        SLACK_CHANNEL=CHANNEL,
        SLACK_API_URL=slack.url,
    )
    environment = os.environ | as_environment(settings)
    backup = tmp_path / "backup.zst"
    with _platform(settings):
        _log(settings, 1)
        _log(settings, 2)
        incident = wait_until(lambda: _incident(settings, count=2), 30, "an incident of two matches")
        wait_until(lambda: len(slack.messages) == 1, 30, "its message")
        assert incident
        vigil(environment, "ack", incident.incident_id)
        wait_until(lambda: _is_acknowledged(settings), 30, "it is acknowledged")
        wait_until(lambda: _nodes(settings) >= NODES, 30, "the node is registered, and what carried its beat")
        vigil(environment, "silence", "add", "service.name=other", "--for", "1h", "--reason", "migration")
        said = json.loads(vigil(environment, "backup", str(backup), "--json"))
        assert said["records"][topics.SILENCES] == 1
        assert said["records"][topics.INCIDENT_STATE] == 1
        assert said["records"][topics.NODE_REGISTRY] == len(NODES)
        assert "workers are running" in _refusal(environment, "restore", str(backup))
    shutil.rmtree(settings.home / "data" / "kafka")
    assert "restored from" in vigil(environment, "restore", str(backup))
    assert "there are records in" in _refusal(environment, "restore", str(backup))
    with _platform(settings):
        assert _is_acknowledged(settings)
        assert [one["reason"] for one in json.loads(vigil(environment, "silence", "list", "--json"))] == ["migration"]
        _log(settings, 3)
        wait_until(lambda: _incident(settings, count=3), 30, "the third match joins the incident")
        assert len(slack.messages) == 1, "the incident was told a second time"
        assert _nodes(settings) == NODES


@contextmanager
def _platform(settings: Settings) -> Iterator[None]:
    with running(settings, SERVICES, lambda _: None):
        yield


def _refusal(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("vigil"), *arguments],
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def _incident(settings: Settings, count: int) -> Incident | None:
    return next((incident for incident in read_incidents(settings) if incident.count == count), None)


def _is_acknowledged(settings: Settings) -> bool:
    return [incident.state.value for incident in read_incidents(settings)] == ["acknowledged"]


def _log(settings: Settings, number: int) -> None:
    now = time.time_ns()
    log = {
        "log_id": f"backup-{number}",
        "node_id": "backup-1",
        "log_level": "ERROR",
        "message_type": "LOG",
        "message": "the till is stuck",
        "service_name": "till",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "error_details": {"error_code": "STUCK", "error_message": "the till is stuck"},
    }
    beat = {"node_id": "backup-1", "message_type": "HEARTBEAT", "status": "UP", "timestamp": log["timestamp"]}
    sender = ForwardSender(settings.bind_host, settings.accumulator1_port)
    sender.send("till", [(now, log), (now, beat)])
    sender.close()


def _nodes(settings: Settings) -> set[str]:
    return {json.loads(value)["node_id"] for value in read_all(settings, topics.NODE_REGISTRY).values()}
