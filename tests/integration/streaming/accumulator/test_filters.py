"""A configuration of one's own: events of several lines, filters that change them, a file beside Kafka, and SIGKILL."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import Consumer, TopicPartition

from streaming.events import coordinates
from streaming.forward.sender import ForwardSender
from streaming.kafka.admin import TopicReport
from streaming.settings import Settings

CONFIGURATION = r"""
<source>
  @type forward
  bind 127.0.0.1
  port {port}
</source>
<source>
  @type tail
  path {folder}/app.log
  tag app.log
  read_from_head true
  emit_unmatched_lines true
  <parse>
    @type multiline
    format_firstline /^\d{{4}}-/
    format1 /^(?<time>\S+) (?<level>[A-Z]+) (?<message>.*)/
    time_format %Y-%m-%dT%H:%M:%S%z
  </parse>
</source>
<filter app.json>
  @type parser
  key_name log
  reserve_data true
  remove_key_name_field true
  emit_invalid_record_to_error true
  <parse>
    @type json
    time_key at
  </parse>
</filter>
<filter app.strict>
  @type parser
  key_name log
  <parse>
    @type json
  </parse>
</filter>
<filter app.**>
  @type record_transformer
  <record>
    node_id ${{tag_parts[1]}}
    service app
  </record>
</filter>
<match app.**>
  @type copy
  <store>
    @type kafka2
    brokers {bootstrap}
    default_topic {topic}
    message_key_key node_id
  </store>
  <store>
    @type file
    path {folder}/out
    append true
    <buffer []>
    </buffer>
    <format>
      @type json
    </format>
  </store>
</match>
"""


class Launch(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(self, predicate: Callable[[], object], timeout_s: float, what: str) -> object: ...


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka alone."""
    return ("kafka",)


def test_filters_files_and_several_lines_through_a_kill(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    port, log, out = settings.accumulator1_port, tmp_path / "app.log", tmp_path / "out.log"
    configuration = tmp_path / "own.conf"
    configuration.write_text(
        CONFIGURATION.format(port=port, folder=tmp_path, bootstrap=settings.bootstrap, topic=settings.topic("logs"))
    )

    def start() -> subprocess.Popen[bytes]:
        own = tmp_path / "accumulator.jsonl"
        process = launch("streaming.accumulator", str(configuration), environment=environment, log=own)

        def ready() -> bool:
            assert process.poll() is None, own.read_text()
            url = f"http://127.0.0.1:{settings.health_port('accumulator1')}/health"
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    return bool(response.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        wait_until(ready, 30, "accumulator is ready")
        return process

    log.write_text("2024-01-02T03:04:05+0000 ERROR broken\n  at one\n  at two\n2024-01-02T03:04:06+0000 INFO fine\n")
    process = start()
    sender = ForwardSender("127.0.0.1", port)
    sender.send("app.json", [(7 * 10**9, {"log": '{"at": 12.5, "message": "parsed"}', "kept": 1}), (7, {"log": "{"})])
    sender.send(
        "app.strict", [(7 * 10**9, {"log": "not json", "id": 1}), (7 * 10**9, {"log": '{"message": "strict"}'})]
    )
    sender.close()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with log.open("a") as file:
        file.write("  at three\n2024-01-02T03:04:07+0000 INFO end\n")
    start()

    found = read(
        settings, wait_until, "logs", {"parsed", "strict", "broken\n  at one\n  at two", "fine\n  at three", None}
    )
    event_s = {record.get("message"): place.event_ns / 10**9 for place, record in found}
    assert event_s["parsed"] == 12.5
    assert event_s["fine\n  at three"] == 1_704_164_646
    by_message = {record.get("message"): record for _, record in found}
    assert by_message["parsed"] == {"message": "parsed", "kept": 1, "node_id": "json", "service": "app"}
    assert by_message["broken\n  at one\n  at two"]["node_id"] == "log"
    assert {"log": "{", "node_id": "json", "service": "app"} in [record for _, record in found]
    assert len({place.key for place, _ in found}) == 5
    letters = read(settings, wait_until, "dead-letters", {None})
    assert {json.dumps(record) for _, record in letters} == {'{"log": "not json", "id": 1}'}

    def written() -> list[object]:
        return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []

    wait_until(lambda: all(record in written() for _, record in found), 10, "all events are in the file")


def read(
    settings: Settings, wait_until: WaitUntil, topic: str, messages: set[str | None]
) -> list[tuple[coordinates.Coordinates, dict[str, object]]]:
    """All records of a topic, when these messages are among them."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "none", "log_level": 0})
    name = settings.topic(topic)
    found: list[tuple[coordinates.Coordinates, dict[str, object]]] = []

    def enough() -> bool:
        for message in consumer.consume(1_000, 0.2):
            headers = dict(message.headers() or [])
            place = headers[coordinates.HEADER]
            assert isinstance(place, bytes)
            found.append((coordinates.decode(place), json.loads(message.value() or b"")))
        return messages <= {record.get("message") for _, record in found}

    try:
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        consumer.assign([TopicPartition(name, p, 0) for p in partitions])
        wait_until(enough, 30, f"{messages} in {topic}")
    finally:
        consumer.close()
    return found
