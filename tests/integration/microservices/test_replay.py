"""Log files through a real accumulator into a real Kafka, with the accumulator killed on the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition

from streaming.kafka import clients
from streaming.kafka import topics as catalogue
from streaming.kafka.records import read_record
from streaming.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from tests.integration.conftest import Launch, WaitUntil

LINES = 40_000


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka alone."""
    return ("kafka",)


def ask(settings: Settings, path: str) -> str:
    """What the accumulator says; nothing where it is away or not healthy."""
    try:
        address = f"http://127.0.0.1:{settings.health_port('accumulator1')}{path}"
        with urllib.request.urlopen(address, timeout=2) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return ""


def received(settings: Settings) -> float:
    """Events that the accumulator says it has made durable."""
    found = re.search(r"^vigil_accumulator_events_total\{.*\} (\S+)$", ask(settings, "/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def events_read(settings: Settings, expected: int) -> set[tuple[int, str]]:
    """Offset within the file and coordinates of what is in the topic, once there are that many.

    The same coordinates may stand in the topic twice: the accumulator produces again what it was killed over.
    """
    consumer = clients.consumer(settings.kafka, settings.group("test-replay"))
    topic = settings.topic(catalogue.LOGS)
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: set[tuple[int, str]] = set()
    idle = 0
    while idle < (20 if len(found) < expected else 3):
        messages = clients.take(consumer, 5_000, 1.0)
        idle = 0 if messages else idle + 1
        for record in map(read_record, messages):
            value = json.loads(record.value)
            if value.get("service_name") == "app":
                found.add((value["log.offset"], record.source))
    consumer.close()
    return found


@pytest.mark.usefixtures("topics")
def test_every_line_arrives_once_although_the_accumulator_is_killed(
    settings: Settings, environment: dict[str, str], launch: Launch, wait_until: WaitUntil, tmp_path: Path
) -> None:
    file = tmp_path / "app_2k.log"
    file.write_bytes(b"\r\n".join(b"2024-05-01 10:00:00 INFO line %d" % n for n in range(LINES)))
    conf = str(CHECKOUT / "fluentd" / "fluent1.conf")
    accumulator = launch("streaming.accumulator", conf, environment=environment)
    wait_until(lambda: ask(settings, "/health"), 30, "the accumulator is healthy")
    code = "import sys, typer; from streaming.cli.replay import replay; typer.run(replay)"
    command = [sys.executable, "-c", code, str(file), "--accumulator", "1", "--rate", "20000", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as replay:
        wait_until(lambda: received(settings) > 0, 20, "the replay has begun")
        accumulator.kill()
        accumulator.wait()
        launch("streaming.accumulator", conf, environment=environment)
        output, _ = replay.communicate(timeout=90)
    assert replay.returncode == 0
    summary = json.loads(output)
    assert (summary["lines"], summary["acknowledged"]) == (LINES, LINES)
    found = sorted(events_read(settings, LINES))
    assert [offset for offset, _ in found] == line_offsets(file), "nothing is lost, and no line has two names"


def line_offsets(file: Path) -> list[int]:
    offsets, position = [], 0
    for line in file.read_bytes().split(b"\r\n"):
        offsets.append(position)
        position += len(line) + 2
    return offsets
