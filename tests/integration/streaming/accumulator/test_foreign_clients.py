"""Clients of others (npm's @fluent-org/logger, PyPI's fluent-logger), with a secured accumulator that redacts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from confluent_kafka import Consumer, TopicPartition
from fluent.event import Event as FluentEvent
from fluent.sender import FluentSender

from streaming.events import coordinates
from streaming.forward.access import Access
from streaming.forward.handshake import Credentials
from streaming.forward.sender import ForwardError, ForwardSender
from streaming.kafka.admin import TopicReport
from streaming.settings import CHECKOUT, Settings
from tests.support.certificates import Certificates

CLIENT = ("@fluent-org/logger@1.0.10", "@msgpack/msgpack@2.7.2")
"""With the one library it needs."""
SCRIPT = Path(__file__).parent / "foreign_client.js"
MODES = ("Message", "Forward", "PackedForward", "CompressedPackedForward")
SECONDS, NANOS = 1_700_000_000, 123_456_789
COUNT = 50
INSTALL_WITHIN_S, SEND_WITHIN_S = 120.0, 60.0

CONFIGURATION = """
<source>
  @type forward
  bind 127.0.0.1
  port {plain}
</source>
<source>
  @type forward
  bind 127.0.0.1
  port {keyed}
  <security>
    self_hostname accumulator.example
    shared_key the shared key
    user_auth true
    <user>
      username ann
      password her password
    </user>
  </security>
</source>
<source>
  @type forward
  bind 127.0.0.1
  port {secured}
  <transport tls>
    version TLSv1_2
    cert_path {cert}
    private_key_path {key}
  </transport>
  <security>
    self_hostname accumulator.example
    shared_key the shared key
  </security>
</source>
@include {common}/redaction.conf
@include {common}/routes.conf
"""
SECURITY = {"clientHostname": "node.example", "sharedKey": "the shared key"}
USER = {"username": "ann", "password": "her password"}


class Launch(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(self, predicate: Callable[[], object], timeout_s: float, what: str) -> object: ...


class Found(NamedTuple):
    """A record of the logs' topic."""

    record: dict[str, object]
    place: coordinates.Coordinates


class Secured(NamedTuple):
    """An accumulator that listens on three ports."""

    ports: dict[str, int]
    certificates: Certificates
    log: Path
    logs: Callable[[int], list[Found]]


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka alone."""
    return ("kafka",)


@pytest.fixture(scope="session")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with npm's client; skips where there is no Node.js."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("needs node and npm, for npm's @fluent-org/logger")
    folder = tmp_path_factory.mktemp("node")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *CLIENT]
    subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_WITHIN_S, stdin=subprocess.DEVNULL)
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture
def secured(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    free_port: Callable[[int], int],
    tmp_path: Path,
) -> Iterator[Secured]:
    first = free_port(3)
    ports = {"plain": first, "keyed": first + 1, "secured": first + 2}
    certificates = Certificates(tmp_path / "certificates")
    configuration, log = tmp_path / "secured.conf", tmp_path / "accumulator.jsonl"
    configuration.write_text(
        CONFIGURATION.format(
            **ports,
            cert=certificates.path("server"),
            key=certificates.path("server-key"),
            common=CHECKOUT / "fluentd" / "common",
        )
    )
    process = launch("streaming.accumulator", str(configuration), environment=environment, log=log)
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "none", "log_level": 0})
    topic = settings.topic("logs")

    def logs(count: int) -> list[Found]:
        found: list[Found] = []
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])

        def enough() -> bool:
            assert process.poll() is None, log.read_text()
            for message in consumer.consume(10_000, 0.2):
                header = dict(message.headers() or [])[coordinates.HEADER]
                assert isinstance(header, bytes)
                found.append(Found(json.loads(message.value() or b""), coordinates.decode(header)))
            return len(found) >= count

        wait_until(enough, 60, f"{count} logs")
        return found

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            sender = ForwardSender("127.0.0.1", ports["keyed"], access=Access(credentials=Credentials("none")))
            sender.send("x", [(1, {})])
        except ForwardError as error:
            return "user" in str(error)
        return False

    wait_until(ready, 30, "the accumulator listens")
    yield Secured(ports, certificates, log, logs)
    consumer.close()


def run_node(folder: Path, **given: object) -> dict[str, object]:
    """What the script prints."""
    node = shutil.which("node")
    assert node
    done = subprocess.run(
        [node, SCRIPT.name, json.dumps({"count": COUNT, "seconds": SECONDS, "nanos": NANOS, **given})],
        cwd=folder,
        capture_output=True,
        timeout=SEND_WITHIN_S,
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


def test_the_client_of_npm_in_all_modes_with_key_user_and_tls(secured: Secured, node_client: Path) -> None:
    ways: list[dict[str, object]] = [
        {"port": secured.ports["plain"]},
        {"port": secured.ports["keyed"], "security": SECURITY | USER},
        {"port": secured.ports["secured"], "security": SECURITY, "ca": secured.certificates.path("ca")},
    ]
    for way in ways:
        assert run_node(node_client, modes=MODES, **way) == dict.fromkeys(MODES, COUNT)
    found = secured.logs(len(ways) * len(MODES) * COUNT)
    assert Counter((f.place.tag, f.record["n"]) for f in found) == {
        (f"node.{mode}", n): len(ways) for mode in MODES for n in range(COUNT)
    }
    assert {f.place.event_ns for f in found} == {SECONDS * 10**9 + NANOS}
    assert {f.record["message"] for f in found} == {"mail to <e-mail>, ä😀"}


def test_the_client_of_npm_is_told_what_is_wrong(secured: Secured, node_client: Path) -> None:
    keyed = {"port": secured.ports["keyed"], "modes": ["PackedForward"], "count": 1}
    wrong_key = run_node(node_client, **keyed, security=SECURITY | USER | {"sharedKey": "a guess"})
    assert "shared_key mismatch" in str(wrong_key["error"])
    wrong_user = run_node(node_client, **keyed, security=SECURITY | USER | {"password": "a guess"})
    assert "username/password mismatch" in str(wrong_user["error"])
    assert "expected authentication" in str(run_node(node_client, **keyed)["error"])
    told = secured.log.read_text()
    assert "key-mismatch: node.example has another shared key" in told
    assert "user-mismatch: node.example: user 'ann'" in told
    for secret in ("the shared key", "her password", "a guess"):
        assert secret not in told


def test_the_client_of_pypi_is_redacted_too(secured: Secured) -> None:
    with FluentSender("web", host="127.0.0.1", port=secured.ports["plain"], nanosecond_precision=True) as sender:
        for n in range(COUNT):
            record = {
                "node_id": "web-1",
                "message": "card 4111 1111 1111 1111",
                "pin": "1234",
                "user": {"pin": "99999"},
            }
            FluentEvent("access", record | {"n": n}, sender=sender)
    found = secured.logs(COUNT)
    assert sorted(int(str(f.record.pop("n"))) for f in found) == list(range(COUNT))
    expected = {"node_id": "web-1", "message": "card [card]", "pin": "****", "user": {"pin": "99999"}}
    assert all(f.record == expected for f in found)
