"""A real indexer process against the real servers, and what a test puts in and reads out."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
import pytest
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.errors import Unavailable
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients
from streaming.kafka.ranges import RangeReader
from streaming.kafka.topics import LOGS
from streaming.settings import Settings
from tests.support.groups import lag, places

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from tests.integration.conftest import Launch, WaitUntil

LogLine = dict[str, object]
T = TypeVar("T")


def _line(number: int, **more: object) -> LogLine:
    return {
        "log_id": f"l{number}",
        "node_id": f"node-{number % 7}",
        "log_level": ("INFO", "WARN", "ERROR", "FATAL")[number % 4],
        "message_type": "LOG",
        "message": f"payment {number} went through",
        "service_name": "payment",
        "timestamp": "2026-11-24T06:40:00.000Z",
        **more,
    }


class Lab:
    """The platform around one indexer."""

    def __init__(self, settings: Settings, environment: dict[str, str], launch: Launch, wait: WaitUntil) -> None:
        self.settings = settings
        self._wait = wait
        self._environment = environment
        self._launch = launch
        self._output = settings.home / "indexer.out"
        self._producer = clients.producer(settings.kafka)
        self._elastic = Connection(settings.elastic)
        self._sequence = 0
        self._started: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def line(number: int, **more: object) -> LogLine:
        """A canonical log whose log_id is its number."""
        return _line(number, **more)

    def put(self, *values: LogLine | bytes, headers: bool = True, received_ns: int | None = None) -> None:
        """Produces into `logs` as an accumulator does, or (without headers) as a real Fluentd does."""
        self._sequence += 1
        received = received_ns or time.time_ns()
        for position, value in enumerate(values):
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            at = Coordinates("acc1", "inc0", self._sequence, position, received, 0, "app")
            key = str(value["node_id"]) if isinstance(value, dict) else f"k{position % 5}"
            self._producer.produce(
                self.settings.topic(LOGS),
                raw,
                key,
                headers=[(coordinates.HEADER, coordinates.encode(at))] if headers else [],
            )
            if position % 1000 == 0:
                self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def start(self, slot: int = 0, **changed: str) -> subprocess.Popen[bytes]:
        """Starts an indexer process; `changed` are variables of its environment."""
        started = self._launch(
            "streaming.indexer", "--slot", str(slot), environment=self._environment | changed, log=self._output
        )
        self._started.append(started)
        return started

    def wait(self, look: Callable[[], T], timeout_s: float, what: str) -> T:
        """Waits until it sees something true; where it does not, the error tells what became of the indexers."""
        try:
            return self._wait(look, timeout_s, what)
        except AssertionError as error:
            ended = [process.poll() for process in self._started]
            raise AssertionError(
                f"{error}; indexers ended with {ended} (None: runs); {self.output()[-3000:]}"
            ) from error

    def output(self) -> str:
        """What the indexers wrote."""
        return self._output.read_text(encoding="utf-8") if self._output.exists() else ""

    def check(self, name: str) -> tuple[bool, str]:
        """One check of the indexer's health answer."""
        asked = Connection(f"http://127.0.0.1:{self.settings.health_port('indexer')}", timeout_s=2)
        try:
            found = json.loads(asked.request("GET", "/health").body)["workers"][0]["checks"]
            check = found.get(name, {"ok": False, "detail": "still starting"})
            return check["ok"], check["detail"]
        except Unavailable as error:
            return False, str(error)
        finally:
            asked.close()

    def committed(self) -> dict[int, int]:
        """Committed offset per partition of `logs`."""
        return {p: place.committed for p, place in places(self.settings, LOGS, "indexer").items()}

    def delete_before(self, offsets: dict[int, int]) -> int:
        """Deletes what lies before these offsets, as retention does; how many unread records went by that."""
        now, topic = places(self.settings, LOGS, "indexer"), self.settings.topic(LOGS)
        wanted = {partition: min(offset, now[partition].end) for partition, offset in offsets.items()}
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap})
        before = [TopicPartition(topic, partition, offset) for partition, offset in wanted.items()]
        for done in admin.delete_records(before).values():
            done.result(15)
        return sum(offset - now[partition].committed for partition, offset in wanted.items())

    def lag(self) -> int:
        """Records of `logs` that are not committed."""
        return lag(self.settings, LOGS, "indexer")

    def documents(self) -> list[dict[str, object]]:
        """Every document of every log index."""
        pattern = mapping.logs_pattern(self.settings.index_prefix)
        self._elastic.request("POST", f"/{pattern}/_refresh")
        found: list[dict[str, object]] = []
        after: object = None
        while True:
            body: dict[str, object] = {"size": 5000, "sort": [{"vigil.source": "asc"}], "query": {"match_all": {}}}
            if after:
                body["search_after"] = after
            hits = json.loads(self._elastic.json("POST", f"/{pattern}/_search", body).body)["hits"]["hits"]
            found += [hit["_source"] | {"_id": hit["_id"], "_index": hit["_index"]} for hit in hits]
            if len(hits) < 5000:
                return found
            after = hits[-1]["sort"]

    def count(self) -> int:
        """Documents in all log indices; 0 while an index is just being made (503)."""
        pattern = mapping.logs_pattern(self.settings.index_prefix)
        self._elastic.request("POST", f"/{pattern}/_refresh")
        return int(json.loads(self._elastic.request("GET", f"/{pattern}/_count").body).get("count", 0))

    def log_ids(self) -> Counter[str]:
        """How many documents each log_id has."""
        return Counter(str(cast(dict[str, object], d["vigil"]).get("log_id")) for d in self.documents())

    def mappings(self) -> object:
        """Mapping of each index."""
        pattern = mapping.logs_pattern(self.settings.index_prefix)
        return msgspec.json.decode(self._elastic.request("GET", f"/{pattern}/_mapping").body)

    def block_writes(self, blocked: bool) -> None:
        """Forbids writing to the log indices, as an operator or a full disk does."""
        pattern = mapping.logs_pattern(self.settings.index_prefix)
        body = {"index.blocks.write": True if blocked else None}
        assert self._elastic.json("PUT", f"/{pattern}/_settings", body).status == 200

    def read(self, topic: str) -> list[Message]:
        """All records of one of our topics."""
        name = self.settings.topic(topic)
        with RangeReader(self.settings) as reader:
            return [message for batch in reader.read(name, reader.bounds_of(name)) for message in batch]

    def settled(self, timeout_s: float = 60.0) -> None:
        """Waits until everything is committed."""
        try:
            self.wait(lambda: self.lag() == 0, timeout_s, "everything committed")
        except AssertionError as error:
            raise AssertionError(f"committed {self.committed()}; {error}") from error

    def close(self) -> None:
        """Disconnects."""
        self._elastic.close()


@pytest.fixture
def lab(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
) -> Iterator[Lab]:
    """Topics of this test's own; no indexer yet."""
    made = Lab(settings, environment, launch, wait_until)
    yield made
    made.close()


class Proxy:
    """A TCP proxy on loopback that can be cut: connections break, new ones are refused."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    @property
    def url(self) -> str:
        """Address to use instead of the server's own."""
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        """Listens (again), on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection and takes no new one."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pipe, args=(one, other), daemon=True).start()

    @staticmethod
    def _pipe(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """A proxy before Elasticsearch."""
    host, _, port = settings.elasticsearch.removeprefix("http://").rpartition(":")
    made = Proxy(host, int(port))
    yield made
    made.cut()
