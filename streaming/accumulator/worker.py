"""The accumulator as a worker: sources, committer, spool and pump put together and taken apart in order."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from streaming.accumulator.admission.room import limit_of
from streaming.accumulator.configuration.plan import ForwardSource, ListeningSource, Plan, TailSource
from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.life import LifeSign, delivered_to
from streaming.accumulator.delivery.outgoing import Converter
from streaming.accumulator.delivery.pump import Pump, make_producer
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.environment import environment
from streaming.accumulator.probe import KafkaProbe
from streaming.accumulator.redaction.admission import Admission
from streaming.accumulator.sources import network
from streaming.accumulator.sources.forward import ForwardServer
from streaming.accumulator.sources.network import NetworkSources
from streaming.accumulator.sources.tail import Tail
from streaming.accumulator.spool.commit import Committer
from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.spool import Spool, segment_bytes_for
from streaming.errors import Unavailable
from streaming.kafka.topics import CATALOGUE, DEAD_LETTERS, HEARTBEATS, LEDGER
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_SPOOL_BYTES

log = logger(__name__)

Server = ForwardServer | NetworkSources


class Accumulator:
    """Receives, spools, acknowledges, delivers.

    Healthy means: it listens, its disk takes writes, Kafka answers and has the topics. Without Kafka it still
    receives and acknowledges until its spool is full.

    Raises:
        ConfigError: the configuration cannot be used.
        Unavailable: a port or the spool's folder is taken, or the disk fails.
    """

    def __init__(self, settings: Settings, configuration: Path, name: str) -> None:
        self.name = name
        self.health = Health(name, "listening", "spool", "kafka")
        plan = load_plan(configuration, environment(settings))
        outputs = plan.kafka_outputs()
        kafka = outputs[0].access or replace(settings.kafka, bootstrap=outputs[0].brokers)
        self._kafka = _KafkaHealth(self.health)
        self._folder = Folder(settings.home / "spool" / name)
        self._condition = SpoolCondition(name, self.health)
        limit = limit_of([output.buffer for output in outputs])
        try:
            self._spool = Spool(self._folder, segment_bytes=segment_bytes_for(limit.bytes), report=self._condition.lost)
        except OSError as error:
            raise Unavailable(f"spool {self._folder.path} cannot be read: {error.strerror or error}") from error
        dead_letters = settings.topic(DEAD_LETTERS)
        self._pump = Pump(
            name,
            self._spool,
            Converter(name, self._spool.incarnation, Router(plan), dead_letters, outputs),
            partial(make_producer, kafka, outputs[0].compression),
            self._folder.path / "undelivered",
            self._kafka.delivery,
            settings.topic(LEDGER),
            [settings.topic(topic.name) for topic in CATALOGUE],
        )
        self._committer = Committer(self._spool, name, self._condition, limit, settings.accumulator_latency_target_s)
        self._life = LifeSign(settings.topic(HEARTBEATS), name, lambda: self._pump.producer, self._delivered_to_ns)
        self._admission = Admission(plan.redactions, self._committer.submit, name)
        self._servers = self._listen(plan)
        self._tails = self._follow(plan)
        self._probe = KafkaProbe(
            lambda: self._pump.producer,
            [*(o.topic for o in outputs), dead_letters, settings.topic(LEDGER)],
            kafka.bootstrap,
            self._kafka.probed,
        )
        self._spool_bytes = ACCUMULATOR_SPOOL_BYTES.labels(name)
        log.info(
            "spool opened",
            incarnation=self._spool.incarnation,
            next_sequence=self._spool.next_sequence,
            backlog_bytes=self._spool.backlog_bytes,
        )

    def run_once(self) -> None:
        """A round of delivering. A thread that has ended by an error ends the process: half an accumulator is none."""
        parts: list[Committer | Server | Tail] = [self._committer, *self._servers, *self._tails]
        for part in parts:
            if not part.alive:
                raise RuntimeError(f"{type(part).__name__} ended by an error, which the log above shows")
        self._pump.run_once()
        self._life.turn()
        self._committer.look()
        self._spool_bytes.set(self._spool.backlog_bytes)

    def close(self) -> None:
        """Stops receiving, makes durable and acknowledges what was received, delivers what it can in seconds."""
        self.health.set("listening", False, "stopping")
        for tail in self._tails:
            tail.close()
        for server in self._servers:
            server.stop_accepting()
        self._committer.close()
        for server in self._servers:
            server.close()
        self._probe.close()
        self._life.close()
        self._pump.close()
        self._folder.close()

    def _delivered_to_ns(self, now_ns: int) -> int:
        """Only what could be taken in can have been delivered."""
        return delivered_to(now_ns, self._committer.accepted_to_ns(now_ns), self._pump.delivered_to_ns(now_ns))

    def _listen(self, plan: Plan) -> list[Server]:
        """Starts the servers that the configuration asks for, and says in the health what listens where."""
        servers: list[Server] = []
        if forward := [s for s in plan.sources if isinstance(s, ForwardSource)]:
            servers.append(ForwardServer(self.name, forward, self._admission.submit, self._committer.has_room))
        if others := network.of(plan.sources):
            servers.append(NetworkSources(self.name, others, self._admission.submit, self._committer.has_room))
        listening: list[ListeningSource] = [s for s in plan.sources if not isinstance(s, TailSource)]
        self.health.set("listening", True, ", ".join(map(network.described, listening)))
        return servers

    def _follow(self, plan: Plan) -> list[Tail]:
        tails = [
            Tail(
                s,
                self._folder.path / f"tail-{n}.json",
                self._admission.submit,
                self._committer.has_room,
                spooled=self._spool.chunk_ids,
            )
            for n, s in enumerate(s for s in plan.sources if isinstance(s, TailSource))
        ]
        for tail in tails:
            tail.start()
        return tails


class _KafkaHealth:
    """Check "kafka": what the probe says, unless deliveries are being refused."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._lock = threading.Lock()
        self._refusal = ""

    def probed(self, ok: bool, why: str) -> None:
        """From the probe's thread."""
        with self._lock:
            if ok and self._refusal:
                ok, why = False, self._refusal
            self._health.set("kafka", ok, why)

    def delivery(self, ok: bool, why: str) -> None:
        """From the pump's thread."""
        with self._lock:
            self._refusal = why
            self._health.set("kafka", ok, why)
