"""A hundred schedules of crashes: whatever is killed, however often, incidents and counts are the known ones."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streaming.alerting.manager import worker as managing
from streaming.alerting.matcher import worker as matching
from streaming.alerting.messages import Action, Command, Incident, IncidentEvent, Notification, Order
from streaming.events.coordinates import HEADER, Coordinates, encode
from streaming.kafka import clients, topics
from streaming.settings import Settings
from streaming.worker.run import Worker
from tests.support.simulated_kafka import Killed, Process, SimulatedKafka

SCHEDULES = 100
LOGS = 120
PARTITIONS = 3
SERVICES = ("order", "payment", "inventory")
RULES = """
rules:
  - id: error
    kind: match
    where: {levels: [ERROR, FATAL]}
    group_by: [service.name]
    severity: error
    title: "{{ service.name }}: {{ message }}"
    resolve_after: 1d
  - id: fatal
    kind: match
    where: {levels: [FATAL]}
    severity: critical
    title: "{{ message }}"
    resolve_after: 1d
  - id: many
    kind: threshold
    where: {levels: [WARN]}
    group_by: [service.name]
    window: 1h
    count: 4
    severity: warning
    title: "{{ count }} of {{ service.name }}"
  - id: new
    kind: new-value
    where: {levels: [INFO]}
    field: log.logger
    learn_for: 1ms
    severity: info
    title: "{{ value }}"
    resolve_after: 1d
"""

MANY = 4
LOGGERS = 3
DEATHS = 25


class Clock:
    """What the workers take for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 1_795_500_000.0

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return int(self.now_s * 1e9)

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (matching, managing):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def broker(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedKafka:
    made = SimulatedKafka(lambda: clock.time_ns() // 1_000_000)
    monkeypatch.setattr(clients, "Consumer", made.consumer)
    monkeypatch.setattr(clients, "Producer", made.producer)
    monkeypatch.setattr(clients, "AdminClient", made.admin)
    for topic in topics.CATALOGUE:
        made.create(topic.name, PARTITIONS if topic.name == topics.LOGS else 1)
    return made


class Run:
    """One schedule: workers that live for some operations each, until a last life without end."""

    def __init__(self, broker: SimulatedKafka, clock: Clock, settings: Settings, seed: int) -> None:
        self._broker, self._clock, self._random = broker, clock, random.Random(seed)
        self._factories: dict[str, Callable[[], Worker]] = {
            "matcher-0": lambda: matching.Matcher(settings, 0),
            "matcher-1": lambda: matching.Matcher(settings, 1),
            "manager-0": lambda: managing.Manager(settings, 0),
            "manager-1": lambda: managing.Manager(settings, 1),
        }
        self._alive: dict[str, Worker] = {}
        self._processes: dict[str, Process] = {}
        self.kills = 0
        self._deaths_left = 0
        self._positions = Counter[int]()
        self.expected = Counter[tuple[str, str]]()
        self.notes: set[str] = set()

    def begin(self) -> None:
        """Rules come into force: a first life of everybody, that ends before the first log."""
        for _ in range(3):
            for name in self._factories:
                self._step(name)
                self._clock.now_s += 1.2
        for process in self._processes.values():
            process.dead = True
        self._alive.clear()
        self._deaths_left = DEATHS

    def stream(self) -> None:
        """Writes the logs little by little, while the workers take turns and die."""
        for number in range(LOGS):
            self._write(number)
            if number % 3 == 0:
                self._turn()
            if number % 10 == 0:
                self._annotate(f"n{number}")
        for _ in range(60):
            self._turn()

    def drain(self) -> None:
        """Nobody dies any more: all goes on until nothing is left."""
        self._deaths_left = 0
        for _ in range(30):
            for name in self._factories:
                self._step(name)
            self._expire()
            self._clock.now_s += 1.5

    def _write(self, number: int) -> None:
        """A log of a known answer; some records are written twice, as after a crash of their accumulator."""
        partition, service = self._random.randrange(PARTITIONS), self._random.choice(SERVICES)
        level = self._random.choices(["INFO", "WARN", "ERROR", "FATAL"], [4, 3, 3, 1])[0]
        self._positions[partition] += 1
        at = Coordinates(f"acc{partition}", "inc", self._positions[partition], 0, self._clock.time_ns(), 0, "t")
        value = {
            "log_id": f"l{number}",
            "node_id": f"n{partition}",
            "log_level": level,
            "message_type": "LOG",
            "message": f"it broke {number}",
            "service_name": service,
            "logger": f"logger-{number % LOGGERS}",
            "timestamp": "2026-11-24T06:00:00Z",
        }
        for _ in range(self._random.choices([1, 2], [9, 1])[0]):
            self._broker.append(topics.LOGS, partition, json.dumps(value).encode(), headers=[(HEADER, encode(at))])
        if level in ("ERROR", "FATAL"):
            self.expected["error", service] += 1
        if level == "FATAL":
            self.expected["fatal", ""] += 1
        if level == "WARN":
            self.expected["many", service] += 1
        if level == "INFO":
            self.expected["new", f"logger-{number % LOGGERS}"] = 1

    def _annotate(self, note_id: str) -> None:
        """Somebody attaches a note to an incident that there is; some orders are given twice, as after an unknown
        outcome."""
        known = sorted(_incidents(self._broker))
        if not known:
            return
        command = Command(
            order=Order.ANNOTATE,
            author="ann",
            at_ms=self._clock.time_ns() // 1_000_000,
            incident_id=self._random.choice(known),
            note="look at the disk",
            note_id=note_id,
        )
        self.notes.add(note_id)
        for _ in range(self._random.choice([1, 2])):
            self._broker.append(topics.COMMANDS, 0, msgspec.json.encode(command), headers=[])

    def _turn(self) -> None:
        self._clock.now_s += self._random.choice([0.01, 0.3, 1.2])
        if self._random.random() < 0.2:
            self._expire()
        self._step(self._random.choice(list(self._factories)))

    def _expire(self) -> None:
        for group in self._broker.groups:
            self._broker.expire(group)

    def _step(self, name: str) -> None:
        try:
            if name not in self._alive:
                self._broker.process = self._processes[name] = self._life(name)
                self._alive[name] = self._factories[name]()
            else:
                self._alive[name].run_once()
        except Killed:
            self._alive.pop(name, None)
            self.kills += 1

    def _life(self, name: str) -> Process:
        if self._deaths_left <= 0:
            return Process(name)
        self._deaths_left -= 1
        return Process(name, die_at=self._random.randint(1, 60), before=self._random.random() < 0.5)


def _incidents(broker: SimulatedKafka) -> dict[str, Incident]:
    found: dict[str, Incident] = {}
    for value in broker.committed_values(topics.INCIDENT_STATE):
        if value is not None:
            incident = msgspec.json.decode(value, type=Incident)
            found[incident.incident_id] = incident
    return found


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_whatever_is_killed_the_incidents_and_their_counts_are_the_known_ones(
    seed: int, broker: SimulatedKafka, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    settings = Settings(home=tmp_path, rules_path=tmp_path, kafka_bootstrap="simulated:1")
    run = Run(broker, clock, settings, seed)
    run.begin()
    run.stream()
    run.drain()
    assert run.kills >= 3, "a schedule without crashes proves nothing"
    incidents = _incidents(broker)
    # Of a new value the logs count that were read with the first: what one round reads is a matter of chance.
    counted = {(i.rule_id, "".join(i.group.values())): i.count for i in incidents.values()}
    counts = {key: 1 if key[0] == "new" else count for key, count in counted.items()}
    expected = {key: count for key, count in run.expected.items() if key[0] != "many" or count >= MANY}
    assert counts == expected
    told = [
        msgspec.json.decode(value, type=Notification)
        for value in broker.committed_values(topics.NOTIFICATIONS)
        if value is not None
    ]
    opened = Counter(n.incident.incident_id for n in told if n.action is Action.OPEN)
    assert opened == dict.fromkeys(incidents, 1)
    versions: dict[str, int] = {}
    for notification in told:
        incident = notification.incident
        assert incident.version > versions.get(incident.incident_id, 0), "each tells something newer"
        versions[incident.incident_id] = incident.version
    noted = Counter(n.note.note_id for n in told if n.note is not None)
    written = Counter(
        event.note.note_id
        for value in broker.committed_values(topics.INCIDENT_EVENTS)
        if value is not None and (event := msgspec.json.decode(value, type=IncidentEvent)).note is not None
    )
    kept = Counter(note_id for incident in incidents.values() for note_id in incident.notes)
    assert noted == written == kept == dict.fromkeys(run.notes, 1)
