"""Logs of eight real systems through the whole platform, while its workers are killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from infra.bringing_up import await_healthy
from infra.local.target import LocalTarget
from infra.services import catalogue
from streaming.forward.sender import ForwardSender
from tests.support.loghub import loghub_folder, logs_of
from tests.support.platform import Platform, wait_until

# How the systems write their levels; Linux and OpenSSH write none (the column Level of Linux holds a host name).
LEVELS = {"notice": "INFO", "warn": "WARN", "WARNING": "WARN", "error": "ERROR"} | {
    name: name for name in ("INFO", "WARN", "ERROR", "FATAL")
}
WITHOUT_LEVEL = ("Linux", "OpenSSH")
KILLED = ("indexer", "matcher", "manager", "notifier", "accumulator1", "accumulator2", "accumulator3")
NODE = "real-logs"
LINES_PER_S = 1_500
"""16,000 lines take 11 s: long enough for seven kills in their midst."""


@pytest.mark.timeout(420)
def test_every_line_arrives_once_though_every_worker_is_killed(platform: Platform) -> None:
    folder = loghub_folder()
    files = sorted(folder.glob("*_2k.log"))
    lines = sum(len(logs_of(file)) for file in files)
    replay = subprocess.Popen(
        [
            Path(sys.executable).with_name("vigil"),
            "replay",
            *map(str, files),
            "--node",
            NODE,
            "--rate",
            str(LINES_PER_S),
        ],
        env=platform.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    of_replay = {"term": {"service.node.name": NODE}}
    for number, name in enumerate(KILLED, 1):
        sent = lines * number // (len(KILLED) + 4)
        wait_until(lambda sent=sent: platform.count(of_replay) >= sent, 90, f"{sent} lines arrived before {name} dies")  # type: ignore[misc]
        _kill(platform, name)
    out, err = replay.communicate(timeout=240)
    assert replay.returncode == 0, err
    assert f"{lines} of {lines} lines" in out
    for service in catalogue(platform.settings):
        await_healthy(platform.manager, LocalTarget(platform.settings).probe, service)
    wait_until(lambda: platform.count(of_replay) >= lines, 120, f"{lines} documents")
    assert platform.count(of_replay) == lines
    _levels_are_right(platform, files)
    _one_message_per_incident(platform)


def _kill(platform: Platform, name: str) -> None:
    pid = wait_until(lambda: platform.manager.status(name).pid, 60, f"{name} runs")
    assert pid
    os.kill(pid, signal.SIGKILL)


def _levels_are_right(platform: Platform, files: list[Path]) -> None:
    body = {
        "size": 0,
        "query": {"term": {"service.node.name": NODE}},
        "aggs": {
            "service": {
                "terms": {"field": "service.name", "size": 20},
                "aggs": {"level": {"terms": {"field": "log.level"}}},
            }
        },
    }
    buckets = platform.search(body)["aggregations"]["service"]["buckets"]  # type: ignore[index]
    found = {b["key"]: {level["key"]: level["doc_count"] for level in b["level"]["buckets"]} for b in buckets}
    for file in files:
        system = file.name.partition("_")[0]
        with Path(f"{file}_structured.csv").open(newline="") as source:
            rows = list(csv.DictReader(source))
        wanted = Counter("INFO" if system in WITHOUT_LEVEL else LEVELS[row["Level"]] for row in rows)
        assert found[system.lower()] == wanted, system


def _one_message_per_incident(platform: Platform) -> None:
    def told() -> set[str]:
        shown = [message.everything for message in platform.slack.messages]
        return {system for system in ("hadoop", "apache") if any(f"{system}: " in text for text in shown)}

    wait_until(lambda: told() == {"hadoop", "apache"}, 60, "messages for errors of Hadoop and Apache")
    messages = [m for m in platform.slack.messages if m.event == "vigil_incident"]
    payloads = [m.metadata["event_payload"] for m in messages if m.metadata]
    # What came back after it was over is told anew: each opening once.
    openings = Counter((str(p["incident_id"]), str(p["opening"])) for p in payloads)  # type: ignore[index]
    assert [o for o, count in openings.items() if count > 1] == [], "a second message for one opening of an incident"


@pytest.mark.timeout(300)
def test_alerts_go_out_and_nothing_is_lost_while_elasticsearch_is_stopped(platform: Platform) -> None:
    manager, settings = platform.manager, platform.settings
    run = f"outage-{time.time_ns()}"
    manager.stop("elasticsearch")
    began = time.monotonic()
    try:
        sender = ForwardSender(settings.bind_host, settings.accumulator2_port)
        now = time.time_ns()
        records = [_log(f"{run}-{number}", run, "ERROR" if number == 0 else "INFO") for number in range(500)]
        sender.send("test.outage", [(now, record) for record in records])
        sender.close()
        wait_until(
            lambda: any(run in message.everything for message in platform.slack.messages),
            25,
            "the alert went out while Elasticsearch was stopped",
        )
        wait_until(lambda: time.monotonic() - began > 30, 31, "an outage of 30 s")
    finally:
        manager.start("elasticsearch")
    for service in catalogue(settings):
        await_healthy(manager, LocalTarget(settings).probe, service)
    wait_until(lambda: platform.count({"term": {"service.name": run}}) >= 500, 90, "the logs of the outage")
    assert platform.count({"term": {"service.name": run}}) == 500


def _log(log_id: str, service: str, level: str) -> dict[str, object]:
    record: dict[str, object] = {
        "log_id": log_id,
        "node_id": "outage-1",
        "log_level": level,
        "message_type": "LOG",
        "message": f"log {log_id}",
        "service_name": service,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if level == "ERROR":
        record["error_details"] = {"error_code": "OUTAGE", "error_message": f"error of {service}"}
    return record
