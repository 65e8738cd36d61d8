"""One accumulator that listens for everything it knows, a real Kafka, and SIGKILL in the middle of posts."""

from __future__ import annotations

import http.client
import json
import logging
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgpack
import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from streaming.events import coordinates
from streaming.events.model import Level, LogEvent
from streaming.events.parse import parse
from streaming.forward.sender import ForwardSender
from streaming.kafka.admin import TopicReport
from streaming.settings import CHECKOUT, Settings

HOST = "127.0.0.1"
CONFIGURATION = """
<source>
  @type forward
  bind 127.0.0.1
  port {forward}
</source>
<source>
  @type http
  bind 127.0.0.1
  port {http}
</source>
<source>
  @type syslog
  bind 127.0.0.1
  port {udp}
  tag syslog.udp
  <parse>
    message_format auto
  </parse>
</source>
<source>
  @type syslog
  bind 127.0.0.1
  port {tcp}
  tag syslog.tcp
  <transport tcp>
  </transport>
  <parse>
    message_format auto
  </parse>
</source>
<source>
  @type vigil_otlp
  bind 127.0.0.1
  port {otlp}
</source>
@include {routes}
"""


class Launch(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(self, predicate: Callable[[], object], timeout_s: float, what: str) -> object: ...


class Found(NamedTuple):
    """A record of the logs' topic, as the indexer would read it."""

    key: bytes | None
    place: coordinates.Coordinates
    value: bytes

    @property
    def log(self) -> LogEvent:
        at = self.place
        found = parse(self.value, received_ns=at.received_ns, event_ns=at.event_ns, tag=at.tag)
        assert isinstance(found, LogEvent)
        return found


class Everything:
    """An accumulator with all sources that listen."""

    def __init__(
        self,
        settings: Settings,
        environment: dict[str, str],
        launch: Launch,
        wait_until: WaitUntil,
        folder: Path,
        ports: int,
    ) -> None:
        self.settings, self._environment, self._launch, self.wait_until = settings, environment, launch, wait_until
        self.log = folder / "accumulator.jsonl"
        names = ("forward", "http", "udp", "tcp", "otlp")
        self.ports = {name: ports + n for n, name in enumerate(names)}
        self._configuration = folder / "all.conf"
        routes = CHECKOUT / "fluentd" / "common" / "routes.conf"
        self._configuration.write_text(CONFIGURATION.format(**self.ports, routes=routes))

    def launch(self) -> subprocess.Popen[bytes]:
        """Returns at once."""
        return self._launch(
            "streaming.accumulator", str(self._configuration), environment=self._environment, log=self.log
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Returns when it is healthy."""
        process = self.launch()

        def ready() -> bool:
            assert process.poll() is None, self.log.read_text()
            return self.health()[0] == 200

        self.wait_until(ready, 30, "the accumulator is healthy")
        return process

    def health(self) -> tuple[int, str]:
        """Status, and what it says of what listens."""
        url = f"http://{HOST}:{self.settings.health_port('accumulator1')}/health"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, str(json.load(response)["workers"][0]["checks"]["listening"])
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> int:
        """The status of one request; 0 where there is no answer."""
        connection = http.client.HTTPConnection(HOST, self.ports["http"], timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def read_logs(self, enough: Callable[[list[Found]], bool]) -> list[Found]:
        """All logs in Kafka, when there are enough; each partition in its order."""
        consumer = Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": "none", "log_level": 0})
        topic = self.settings.topic("logs")
        found: list[Found] = []

        def there() -> bool:
            for message in consumer.consume(10_000, 0.2):
                assert not message.error()
                header = dict(message.headers() or [])[coordinates.HEADER]
                assert isinstance(header, bytes)
                found.append(Found(message.key(), coordinates.decode(header), message.value() or b""))
            return enough(found)

        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            self.wait_until(there, 60, "all logs are in Kafka")
        finally:
            consumer.close()
        return found


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka alone."""
    return ("kafka",)


@pytest.fixture
def everything(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    tmp_path: Path,
    free_port: Callable[[int], int],
) -> Everything:
    """Not started."""
    return Everything(settings, environment, launch, wait_until, tmp_path, free_port(5))


@pytest.mark.filterwarnings("ignore:`LoggingHandler`:DeprecationWarning")
def test_every_source_delivers(everything: Everything) -> None:
    everything.start()
    _, listening = everything.health()
    kinds = ("forward", "http", "syslog/udp", "syslog/tcp", "otlp")
    for kind, port in zip(kinds, everything.ports.values(), strict=True):
        assert f"{kind} {HOST}:{port}" in listening

    sender = ForwardSender(HOST, everything.ports["forward"])
    sender.send("app", [(time.time_ns(), {"node_id": "order-1", "message": "by forward"})])
    sender.close()
    record = {"node_id": "order-2", "service_name": "order", "log_level": "WARN", "message": "by http"}
    assert everything.post("/app/order?time=1795502291.5", [record, record | {"message": "by http 2"}]) == 200
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        line = b"<11>Oct 11 22:14:15 web-1 nginx[17]: by udp"
        udp.sendto(line, (HOST, everything.ports["udp"]))
    with socket.create_connection((HOST, everything.ports["tcp"]), timeout=10) as tcp:
        tcp.sendall(b'<14>1 2026-11-24T06:00:00Z web-2 cron 7 ID1 [x@1 a="b"] by tcp\n')
    provider = LoggerProvider(Resource({"service.name": "cart", "service.instance.id": "cart-1"}))
    exporter = OTLPLogExporter(f"http://{HOST}:{everything.ports['otlp']}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    handler = LoggingHandler(logger_provider=provider)
    handler.emit(logging.LogRecord("cart.db", logging.CRITICAL, "db.py", 1, "by otlp", None, None))
    provider.shutdown()

    found = {f.log.message: f for f in everything.read_logs(lambda logs: len(logs) >= 6)}
    seen = {
        text: (f.key, f.place.tag, f.log.level, f.log.service, f.log.node_id, f.log.host) for text, f in found.items()
    }
    assert seen == {
        "by forward": (b"order-1", "app", Level.INFO, "app", "order-1", None),
        "by http": (b"order-2", "app.order", Level.WARN, "order", "order-2", None),
        "by http 2": (b"order-2", "app.order", Level.WARN, "order", "order-2", None),
        "by udp": (b"web-1", "syslog.udp.user.err", Level.ERROR, "nginx", "web-1", "web-1"),
        "by tcp": (b"web-2", "syslog.tcp.user.info", Level.INFO, "cron", "web-2", "web-2"),
        "by otlp": (b"cart-1", "otlp", Level.FATAL, "cart", "cart-1", None),
    }
    assert found["by http"].log.timestamp_ns == 1_795_502_291_500_000_000
    assert found["by tcp"].log.labels["structured_data"] == {"x@1": {"a": "b"}}
    assert found["by otlp"].log.logger == "cart.db"
    assert sorted(f.place.sequence for f in found.values()) == [1, 2, 2, 3, 4, 5]


def test_what_was_answered_200_is_in_kafka_after_kills(everything: Everything) -> None:
    process = everything.start()
    stop = threading.Event()
    answered: dict[str, set[int]] = defaultdict(set)
    resent = [0]

    def post_all(node: str) -> None:
        """Sends each batch again, under its name, until it is answered, as a client that wants it delivered does."""
        number = 0
        while not stop.is_set():
            records = [{"node_id": node, "message": f"{node}-{number}-{n}"} for n in range(3)]
            while everything.post("/app", records, {"X-Vigil-Chunk": f"{node}-{number}"}) != 200:
                resent[0] += 1
                if stop.wait(0.02):
                    return
            answered[node].add(number)
            number += 1

    def count() -> int:
        return sum(map(len, list(answered.values())))

    threads = [threading.Thread(target=post_all, args=(f"node-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            reached = count() + 80
            everything.wait_until(lambda reached=reached: count() > reached, 30, "posts are answered")  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = everything.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wanted = {f"{node}-{number}-{n}" for node, numbers in answered.items() for number in numbers for n in range(3)}
    assert len(wanted) > 450
    assert resent[0] > 0

    logs = everything.read_logs(lambda logs: wanted <= {str(json.loads(f.value)["message"]) for f in logs})
    places: dict[str, set[str]] = defaultdict(set)
    for log in logs:
        places[str(json.loads(log.value)["message"])].add(log.place.key)
    # A resend that the spool knew was not spooled again, so whatever Kafka has twice has the same coordinates.
    assert {text for text, keys in places.items() if len(keys) > 1} == set()


def test_a_port_that_is_taken_is_said_at_once(everything: Everything) -> None:
    with socket.create_server((HOST, everything.ports["otlp"])):
        assert everything.launch().wait(30) != 0
    assert "cannot listen" in everything.log.read_text()


def test_msgpack_and_a_form(everything: Everything) -> None:
    everything.start()
    connection = http.client.HTTPConnection(HOST, everything.ports["http"], timeout=10)
    for body, media_type in [
        (msgpack.packb([{"message": "packed"}]), "application/msgpack"),
        (b"json=%7B%22message%22%3A%22form%22%7D", "application/x-www-form-urlencoded"),
        (b'{"message":"line 1"}\n{"message":"line 2"}\n', "application/x-ndjson"),
    ]:
        connection.request("POST", "/app", body, {"Content-Type": media_type})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    connection.close()
    logs = everything.read_logs(lambda logs: len(logs) >= 4)
    assert {f.log.message for f in logs} == {"packed", "form", "line 1", "line 2"}
    assert {f.key for f in logs} == {None}
