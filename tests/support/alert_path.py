"""The alert path as real processes, and logs to feed it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from streaming.alerting.messages import Incident
from streaming.alerting.state import read_incidents
from streaming.events.coordinates import HEADER, Coordinates, encode
from streaming.heartbeat.messages import NodeStatus
from streaming.kafka import topics
from streaming.settings import Settings
from tests.support.fake_slack import CHANNEL, FakeSlack

WORKERS = ("matcher", "manager", "notifier")
READY_WITHIN_S = 30.0

RULES = """\
rules:
  - id: error-log
    kind: match
    where:
      levels: [ERROR, FATAL]
      fields:
        service.name: {not_prefix: vigil-}
    group_by: [service.name, error.code]
    severity: error
    title: "{{ service.name }} {{ error.code }}: {{ message }}"
    resolve_after: 10m
  - id: node-down
    kind: node-health
    severity: critical
    title: "{{ service.node.name }} is DOWN: {{ message }}"
"""


def alert_path_of(
    settings: Settings,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[[Callable[[], object], float, str], object],
    slack: FakeSlack,
    folder: Path,
    rules: str,
) -> Iterator[AlertPath]:
    """For a fixture: an alert path with these rules that writes to `slack`; no worker is started yet."""
    file = folder / "rules" / "rules.yaml"
    file.parent.mkdir()
    variables = environment | {
        "VIGIL_RULES_PATH": str(file.parent),
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_CHANNEL": CHANNEL,
        "SLACK_API_URL": slack.url,
    }
    path = AlertPath(settings, variables, launch, wait_until, file)
    path.write_rules(rules)
    yield path
    path.flush()


class AlertPath:
    """Starts and kills workers of one test, and writes logs as an accumulator would."""

    def __init__(
        self,
        settings: Settings,
        environment: dict[str, str],
        launch: Callable[..., subprocess.Popen[bytes]],
        wait_until: Callable[[Callable[[], object], float, str], object],
        rules: Path,
    ) -> None:
        self.settings, self.environment, self.rules = settings, environment, rules
        self._launch, self._wait = launch, wait_until
        self._running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._logs: dict[tuple[str, int], Path] = {}
        self._out = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 0})
        self._position = 0

    def write_rules(self, text: str) -> None:
        """Whole at once, as an editor saves."""
        fresh = self.rules.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(self.rules)

    def start(self, *workers: str, slot: int = 0) -> None:
        """Starts them (all three by default), and waits until they are healthy."""
        names = workers or WORKERS
        for name in names:
            self.launch(name, slot)
        for name in names:
            self.await_healthy(name, slot)

    def launch(self, name: str, slot: int = 0) -> subprocess.Popen[bytes]:
        """Starts one without waiting."""
        log = self.settings.home / f"{name}-{slot}.out"
        self._logs[name, slot] = log
        process = self._launch(f"streaming.alerting.{name}", "--slot", str(slot), environment=self.environment, log=log)
        self._running[name, slot] = process
        return process

    def await_healthy(self, name: str, slot: int = 0) -> None:
        """Waits until it says that it works, and that it is the active one if it is one of several."""

        def healthy() -> bool:
            assert self._running[name, slot].poll() is None, f"{name} ended: {self.output(name, slot)}"
            return bool(self.health(name, slot).get("healthy"))

        self._wait(healthy, READY_WITHIN_S, f"{name} is healthy")

    def health(self, name: str, slot: int = 0) -> dict[str, object]:
        """Its health answer; empty while it does not answer."""
        url = f"http://127.0.0.1:{self.settings.health_port(name, slot)}/health"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return {}

    def process(self, name: str, slot: int = 0) -> subprocess.Popen[bytes]:
        """One that runs."""
        return self._running[name, slot]

    def kill(self, name: str, slot: int = 0) -> None:
        """SIGKILL."""
        process = self._running.pop((name, slot))
        process.kill()
        process.wait()

    def output(self, name: str, slot: int = 0) -> str:
        """What it wrote."""
        return self._logs[name, slot].read_text(encoding="utf-8", errors="replace")

    def log(self, code: str = "E1", level: str = "ERROR", service: str = "order", message: str = "it broke") -> None:
        """One log, with new coordinates."""
        self._position += 1
        self.log_at(self._position, code, level, service, message)

    def log_at(
        self, position: int, code: str, level: str = "ERROR", service: str = "order", message: str = "it broke"
    ) -> None:
        """One log of this place; the same place again is a repeated record."""
        value = {
            "log_id": f"l{position}",
            "node_id": f"n{position % 7}",
            "log_level": level,
            "message_type": "LOG",
            "message": message,
            "service_name": service,
            "timestamp": "2015-10-18T18:01:47Z",
            "error_details": {"error_code": code, "error_message": message},
        }
        at = Coordinates("acc", "inc", position, 0, time.time_ns(), 0, "t")
        self._out.produce(
            self.settings.topic(topics.LOGS),
            json.dumps(value),
            key=str(value["node_id"]),
            headers=[(HEADER, encode(at))],
        )
        self._out.poll(0)

    def node_status(self, status: NodeStatus) -> None:
        """A finding of the heartbeat monitor."""
        self._out.produce(self.settings.topic(topics.NODE_STATUS), msgspec.json.encode(status), key=status.node_id)
        self.flush()

    def flush(self) -> None:
        """Waits until Kafka has everything."""
        assert self._out.flush(30) == 0

    def incidents(self) -> list[Incident]:
        """As the manager last committed them."""
        return read_incidents(self.settings)

    def counts(self) -> dict[str, int]:
        """Count of each incident by its error code."""
        return {incident.group.get("error.code", ""): incident.count for incident in self.incidents()}

    def await_counts(self, expected: dict[str, int], timeout_s: float = 30.0) -> None:
        """Waits until the incidents count so much."""
        self._wait(lambda: self.counts() == expected, timeout_s, f"{expected}, has {self.counts()}")

    def await_that(self, predicate: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
        """Waits until it holds."""
        self._wait(predicate, timeout_s, what)

    def await_all(self, look: Callable[[], Sequence[object]], number: int, timeout_s: float = 30.0) -> None:
        """Waits until there are so many."""
        self._wait(lambda: len(look()) == number, timeout_s, f"{number} of them")
