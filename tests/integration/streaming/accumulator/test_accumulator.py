"""The accumulator as a process, with foreign clients, a real Kafka, and SIGKILL."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgpack
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from fluent.event import Event as FluentEvent
from fluent.sender import FluentSender

from streaming.events import coordinates
from streaming.forward.sender import ForwardSender, PipelinedSender, chunk_of, make_chunk, pack_entry
from streaming.heartbeat.states import DELIVERED_HEADER
from streaming.kafka.admin import TopicReport
from streaming.kafka.ranges import RangeReader
from streaming.settings import CHECKOUT, Settings

EVENT_NS = 1_700_000_000_123_456_789


class Launch(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    """As in tests/integration/conftest.py."""

    def __call__(self, predicate: Callable[[], object], timeout_s: float, what: str) -> object: ...


class Found(NamedTuple):
    """A record of a topic."""

    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]

    @property
    def place(self) -> coordinates.Coordinates:
        return coordinates.decode(self.headers[coordinates.HEADER])

    @property
    def record(self) -> dict[str, object]:
        parsed = json.loads(self.value)
        assert isinstance(parsed, dict)
        return parsed


class Platform:
    """One accumulator and its Kafka."""

    def __init__(
        self, settings: Settings, environment: dict[str, str], launch: Launch, wait_until: WaitUntil, log: Path
    ) -> None:
        self.settings, self.environment = settings, environment
        self.launch, self.wait_until, self.log = launch, wait_until, log
        self.port = settings.accumulator2_port

    def start(self, *, healthy: bool = True, conf: Path | None = None) -> subprocess.Popen[bytes]:
        """The accumulator of fluent2.conf (or another file), ready: healthy, or at least listening."""
        arguments = (str(conf or CHECKOUT / "fluentd" / "fluent2.conf"), "--name", "accumulator2")
        process = self.launch("streaming.accumulator", *arguments, environment=self.environment, log=self.log)
        self.wait_until(lambda: self._is_ready(process, healthy), 30, "accumulator is ready")
        return process

    def health(self) -> tuple[int, dict[str, dict[str, object]]]:
        """Status and checks; 0 while nothing answers."""
        url = f"http://127.0.0.1:{self.settings.health_port('accumulator2')}/health"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, json.load(response)["workers"][0]["checks"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["workers"][0]["checks"]
        except OSError:
            return 0, {}

    def _is_ready(self, process: subprocess.Popen[bytes], healthy: bool) -> bool:
        assert process.poll() is None, self.log.read_text()
        status, checks = self.health()
        return status == 200 if healthy else bool(checks.get("listening", {}).get("ok"))

    def count(self, topic: str) -> int:
        """How many records a topic holds; asked again where its leaders have only just been chosen."""
        with RangeReader(self.settings) as reader:
            return sum(bounds.end for bounds in reader.bounds(self.settings.topic(topic)).values())

    def _partitions(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        name = self.settings.topic(topic)
        return [TopicPartition(name, p, 0) for p in consumer.list_topics(name, timeout=10).topics[name].partitions]

    def read(self, topic: str, count: int, timeout_s: float = 60) -> list[Found]:
        """All records of a topic but the accumulator's own beats, when there are at least so many; each partition in
        its order."""
        consumer = Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": "none", "log_level": 0})
        assigned = self._partitions(consumer, topic)
        found: list[Found] = []
        own = 0

        def enough() -> bool:
            nonlocal own
            for message in consumer.consume(10_000, 0.2):
                assert not message.error()
                headers = {k: v for k, v in dict(message.headers() or []).items() if isinstance(v, bytes)}
                if DELIVERED_HEADER in headers:
                    own += 1
                    continue
                found.append(Found(message.key(), message.value() or b"", headers))
            return len(found) >= count and len(found) + own >= self.count(topic)

        try:
            consumer.assign(assigned)
            self.wait_until(enough, timeout_s, f"{count} records in {topic}")
        finally:
            consumer.close()
        return found

    def delays(self, topic: str, key: bytes, count: int) -> list[float]:
        """Of records with a key: milliseconds from the receive time to Kafka's append time."""
        consumer = Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": "none", "log_level": 0})
        found: list[float] = []

        def enough() -> bool:
            for message in consumer.consume(10_000, 0.2):
                if message.key() == key:
                    header = dict(message.headers() or [])[coordinates.HEADER]
                    assert isinstance(header, bytes)
                    found.append(message.timestamp()[1] - coordinates.decode(header).received_ns / 1e6)
            return len(found) >= count

        try:
            consumer.assign(self._partitions(consumer, topic))
            self.wait_until(enough, 90, f"{count} records of {key!r}")
        finally:
            consumer.close()
        return found


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka alone."""
    return ("kafka",)


@pytest.fixture
def platform(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> Platform:
    """An accumulator that has not been started."""
    return Platform(settings, environment, launch, wait_until, tmp_path / "accumulator.jsonl")


def log_line(number: int, node: str = "order-1") -> dict[str, object]:
    return {"log_id": f"{node}-{number}", "node_id": node, "message_type": "LOG", "message": f"line {number}"}


def assert_no_gaps(found: list[Found]) -> None:
    """Of one incarnation, every sequence from 1 and in it every position from 0; what is there twice is the same."""
    values: dict[str, set[bytes]] = defaultdict(set)
    positions: dict[int, set[int]] = defaultdict(set)
    for record in found:
        values[record.place.key].add(record.value)
        positions[record.place.sequence].add(record.place.position)
    assert len({r.place.incarnation for r in found}) == 1
    assert sorted(positions) == list(range(1, len(positions) + 1))
    assert all(sorted(p) == list(range(len(p))) for p in positions.values())
    assert all(len(v) == 1 for v in values.values())


def test_events_of_all_kinds_reach_their_topics_with_key_and_coordinates(platform: Platform) -> None:
    platform.start()
    sender = ForwardSender("127.0.0.1", platform.port)
    beat = {"node_id": "order-1", "message_type": "heartbeat", "status": "UP"}
    registration = {"node_id": "order-1", "message_type": "REGISTRATION", "service_name": "order"}
    before_ns = time.time_ns()
    sender.send("app.order", [(EVENT_NS, log_line(1)), (EVENT_NS, beat), (EVENT_NS, registration)])
    sender.close()
    (log,) = platform.read("logs", 1)
    (heartbeat,) = platform.read("heartbeats", 1)
    (registered,) = platform.read("registrations", 1)
    assert (log.record, heartbeat.record, registered.record) == (log_line(1), beat, registration)
    assert {log.key, heartbeat.key, registered.key} == {b"order-1"}
    place = log.place
    assert (place.accumulator, place.sequence, place.position) == ("accumulator2", 1, 0)
    assert (place.event_ns, place.tag) == (EVENT_NS, "app.order")
    assert before_ns <= place.received_ns <= time.time_ns()
    assert [r.place.position for r in (log, heartbeat, registered)] == [0, 1, 2]


def test_it_beats_itself_and_says_how_far_it_has_delivered(platform: Platform) -> None:
    before_ms = time.time_ns() // 1_000_000
    accumulator = platform.start()
    beats: list[tuple[str, int]] = []  # status, and how far is delivered
    consumer = Consumer({"bootstrap.servers": platform.settings.bootstrap, "group.id": "none", "log_level": 0})
    consumer.assign(platform._partitions(consumer, "heartbeats"))

    def last_says(status: str) -> bool:
        for message in consumer.consume(100, 0.2):
            header = dict(message.headers() or [])[DELIVERED_HEADER]
            beats.append((json.loads(message.value() or b"")["status"], int(header or 0)))
        return bool(beats) and beats[-1][0] == status

    platform.wait_until(lambda: last_says("UP") and len(beats) > 1, 30, "it beats")
    accumulator.terminate()
    platform.wait_until(lambda: last_says("DOWN"), 30, "it says that it stops")
    consumer.close()
    delivered = [at for _, at in beats]
    assert delivered == sorted(delivered)
    assert before_ms <= delivered[0] <= delivered[-1] <= time.time_ns() // 1_000_000


def test_a_foreign_client_that_wants_no_answer(platform: Platform) -> None:
    platform.start()
    with FluentSender("web", host="127.0.0.1", port=platform.port, nanosecond_precision=True) as sender:
        for number in range(200):
            FluentEvent("access", log_line(number), sender=sender)
    found = platform.read("logs", 200)
    assert sorted(int(str(r.record["log_id"]).rsplit("-", 1)[1]) for r in found) == list(range(200))
    assert {r.place.tag for r in found} == {"web.access"}
    assert_no_gaps(found)


def test_every_mode_is_answered_and_a_resend_is_not_doubled(platform: Platform) -> None:
    platform.start()
    entry = [EVENT_NS // 10**9, log_line(1)]
    packed = msgpack.packb(entry)
    frames = {
        "message": ["t", *entry, {"chunk": "message"}],
        "forward": ["t", [entry, entry], {"chunk": "forward"}],
        "packed": ["t", packed * 2, {"chunk": "packed"}],
        "gzip": ["t", gzip.compress(packed * 2), {"chunk": "gzip", "compressed": "gzip"}],
    }
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as client:
        for _ in range(2):
            for chunk, frame in frames.items():
                client.sendall(msgpack.packb(frame))
                assert msgpack.unpackb(client.recv(1000)) == {"ack": chunk}
    found = platform.read("logs", 7)
    assert Counter(r.place.sequence for r in found) == {1: 1, 2: 2, 3: 2, 4: 2}


def test_a_malformed_frame_closes_only_its_connection(platform: Platform) -> None:
    platform.start()
    with (
        socket.create_connection(("127.0.0.1", platform.port), timeout=10) as good,
        socket.create_connection(("127.0.0.1", platform.port), timeout=10) as bad,
    ):
        bad.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert bad.recv(100) == b""
        good.sendall(msgpack.packb(["t", 1, log_line(1), {"chunk": "c"}]))
        assert msgpack.unpackb(good.recv(1000)) == {"ack": "c"}
    assert len(platform.read("logs", 1)) == 1
    assert "not the Forward protocol" in platform.log.read_text()


def test_events_are_taken_and_kept_while_kafka_is_away(platform: Platform) -> None:
    home = platform.environment
    platform.environment = home | {"VIGIL_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    process = platform.start(healthy=False)
    sender = ForwardSender("127.0.0.1", platform.port)
    for number in range(20):
        sender.send("t", [(EVENT_NS, log_line(number))])
    sender.close()
    platform.wait_until(lambda: "no answer at" in str(platform.health()[1].get("kafka")), 15, "health says why")
    assert platform.health()[0] == 503
    process.terminate()
    assert process.wait(10) == 0
    platform.environment = home
    platform.start()
    assert_no_gaps(platform.read("logs", 20))


def test_what_was_acknowledged_survives_sigkill_without_gap_or_doubt(platform: Platform) -> None:
    process = platform.start()
    acknowledged: set[str] = set()
    stop = threading.Event()

    def send(node: str) -> None:
        sender = PipelinedSender("127.0.0.1", platform.port, window=4)
        number = 0
        while not stop.is_set():
            lines = [log_line(n, node) for n in range(number, number + 50)]
            sender.send_nowait(make_chunk("t", [(EVENT_NS, line) for line in lines]))
            number += 50
            stop.wait(0.02)
        sender.drain()
        acknowledged.update(f"{node}-{n}" for n in range(number))
        sender.close()

    threads = [threading.Thread(target=send, args=(f"node-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            enough = platform.count("logs") + 500
            platform.wait_until(lambda n=enough: platform.count("logs") > n, 30, "events flow")  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = platform.start()
    finally:
        stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    found: list[Found] = []

    def all_there() -> bool:
        found[:] = platform.read("logs", len(acknowledged))
        return acknowledged <= {str(r.record["log_id"]) for r in found}

    platform.wait_until(all_there, 60, "all acknowledged events are in Kafka")
    assert_no_gaps(found)
    once = {r.place.key: str(r.record["log_id"]) for r in found}
    doubled = [log_id for log_id, count in Counter(once.values()).items() if count > 1]
    assert doubled == [], "a resend got coordinates of its own"


def test_per_node_order_is_kept(platform: Platform) -> None:
    platform.start()
    sender = PipelinedSender("127.0.0.1", platform.port)
    for start in range(0, 2000, 100):
        sender.send_nowait(
            make_chunk("t", [(EVENT_NS, log_line(n, f"node-{n % 7}")) for n in range(start, start + 100)])
        )
    sender.drain()
    sender.close()
    by_node: dict[bytes | None, list[int]] = defaultdict(list)
    for record in platform.read("logs", 2000):
        by_node[record.key].append(int(str(record.record["log_id"]).rsplit("-", 1)[1]))
    assert len(by_node) == 7
    assert all(numbers == sorted(numbers) for numbers in by_node.values())


def test_an_oversized_event_is_cut_and_kept_whole_among_the_dead_letters(platform: Platform) -> None:
    platform.start()
    sender = ForwardSender("127.0.0.1", platform.port)
    large = {"node_id": "n", "message": "x" * 3_000_000}
    line = {"node_id": "n", "message": "y" * 1_000_000}
    sender.send("t", [(EVENT_NS, large), (EVENT_NS, line), (EVENT_NS, log_line(1))])
    sender.close()
    found = sorted(platform.read("logs", 3), key=lambda r: r.place.position)
    assert [len(str(r.record["message"])) for r in found[:2]] == [262_144, 1_000_000]
    (dead,) = platform.read("dead-letters", 1)
    assert dead.record == large
    assert found[0].record["vigil_truncated"] == len(dead.value)
    assert dead.headers["reason"] == b"too-large"
    assert dead.headers["topic"] == platform.settings.topic("logs").encode()
    assert dead.place == found[0].place
    page = json.loads(platform.read("accumulator-ledger", 1)[-1].value)
    assert (page["accumulator"], page["incarnation"]) == (dead.place.accumulator, dead.place.incarnation)


def test_records_that_kafka_refuses_hold_up_no_other_and_arrive_when_it_takes_them(
    platform: Platform, tmp_path: Path
) -> None:
    """Their topic is missing: every record comes back refused by the real client."""
    conf = tmp_path / "own.conf"
    conf.write_text(_two_outputs(platform))
    process = platform.start(healthy=False, conf=conf)
    sender = ForwardSender("127.0.0.1", platform.port)
    for number in range(20):
        for tag in ("own", "app"):
            sender.send(tag, [(EVENT_NS, log_line(number))])
    sender.close()
    assert len(platform.read("logs", 20)) == 20
    platform.wait_until(lambda: "refuses records of topic" in str(platform.health()[1]), 30, "they came back")
    assert process.poll() is None, platform.log.read_text()
    admin = AdminClient({"bootstrap.servers": platform.settings.bootstrap})
    try:
        for made in admin.create_topics([NewTopic(platform.settings.topic("own"), 1, 1)]).values():
            made.result(20)
        late = platform.read("own", 20)
        assert {one.record["log_id"] for one in late} == {log_line(number)["log_id"] for number in range(20)}
        assert all(coordinates.REPLAY_HEADER in one.headers for one in late)
        assert platform.count("logs") == 20
    finally:
        for gone in admin.delete_topics([platform.settings.topic("own")]).values():
            gone.result(20)


def _two_outputs(platform: Platform) -> str:
    def output(pattern: str, topic: str) -> str:
        return f"""
<match {pattern}>
  @type kafka2
  brokers {platform.settings.bootstrap}
  default_topic {platform.settings.topic(topic)}
  <format>
    @type json
  </format>
</match>"""

    source = f"<source>\n  @type forward\n  port {platform.port}\n</source>"
    return source + output("own", "own") + output("**", "logs")


def test_two_of_one_name_do_not_share_a_spool(platform: Platform) -> None:
    platform.start()
    second = platform.launch(
        "streaming.accumulator", "fluentd/fluent2.conf", "--slot", "1", environment=platform.environment
    )
    assert second.wait(20) == 69
    assert platform.health()[0] == 200


@pytest.mark.parametrize("text", ["<source>\n  @type forwrd\n</source>\n"])
def test_a_broken_configuration_ends_with_one_line(platform: Platform, text: str) -> None:
    conf = platform.log.with_name("fluent2.conf")
    conf.write_text(text)
    log = platform.log.with_name("out.txt")
    process = platform.launch("streaming.accumulator", str(conf), environment=platform.environment, log=log)
    assert process.wait(20) == 78
    assert f"{conf}:2: @type: 'forwrd' is not supported. Did you mean forward?" in log.read_text()


def test_the_platforms_own_logs_are_carried_too(platform: Platform) -> None:
    logs = platform.settings.log_dir
    logs.mkdir(parents=True)
    line = {"node_id": "vigil-indexer-1", "message_type": "LOG", "message": "assigned"}
    (logs / "indexer.jsonl").write_text(json.dumps(line) + "\nTraceback (most recent call last):\n")
    (logs / "kafka.out").write_text("not for the platform\n")
    process = platform.launch("streaming.accumulator", "fluentd/fluent1.conf", environment=platform.environment)
    assert [r.record for r in platform.read("logs", 2) if r.key] == [line]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (logs / "indexer.jsonl").open("a") as file:
        file.write(json.dumps(line | {"message": "second"}) + "\n")
    platform.launch("streaming.accumulator", "fluentd/fluent1.conf", environment=platform.environment)
    # What the killed one had not confirmed comes twice, from the same place.
    platform.wait_until(
        lambda: len({r.place.key for r in platform.read("logs", 2)}) == 3, 60, "the second line, and nothing else"
    )
    once = {r.place.key: r for r in platform.read("logs", 3)}
    assert sorted(str(r.record["message"]) for r in once.values()) == [
        "Traceback (most recent call last):",
        "assigned",
        "second",
    ]
    assert {r.place.tag for r in once.values()} == {"vigil.internal"}


def test_a_flood_of_one_tag_does_not_delay_another(platform: Platform) -> None:
    """Of the same flood, with fair shares and without: what a quiet tag waits from its receive time to Kafka."""
    settings = platform.environment
    waits: dict[str, float] = {}
    for target_s in ("0.3", "0"):
        platform.environment = settings | {"VIGIL_ACCUMULATOR_LATENCY_TARGET_S": target_s}
        process = platform.start()
        waits[target_s] = _wait_beside_a_flood(platform, f"quiet-{target_s}")
        process.terminate()
        assert process.wait(15) == 0
    assert waits["0.3"] < waits["0"] / 2, waits


def _wait_beside_a_flood(platform: Platform, node: str) -> float:
    """Milliseconds, the second largest of twenty-five: a pause of the machine counts once."""
    entries = [pack_entry(EVENT_NS, log_line(n, "loud") | {"text": "x" * 200}) for n in range(1_000)]
    stop = threading.Event()

    def flood() -> None:
        sender = PipelinedSender("127.0.0.1", platform.port, window=8, timeout_s=60)
        while not stop.is_set():
            sender.send_nowait(chunk_of("loud", entries))
        sender.drain()
        sender.close()

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    quiet = ForwardSender("127.0.0.1", platform.port, timeout_s=60)
    try:
        for number in range(25):
            quiet.send("quiet", [(EVENT_NS, log_line(number, node))])
            stop.wait(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        quiet.close()
    return sorted(platform.delays("logs", node.encode(), 25))[-2]
