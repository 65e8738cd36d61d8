"""Three controllers, and a fourth broker that comes: Kafka of several machines without the machines."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.local.kafka import as_properties, random_id
from infra.machines.certificates import Authority
from infra.machines.inventory import Inventory, parse
from infra.machines.kafka.configuration import OF_NEW_TOPICS, SUPER_USER, Files, server_properties
from infra.machines.kafka.rights import USERS
from streaming.kafka import clients, topics
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol
from streaming.kafka.admin import ensure_topics
from streaming.settings import CHECKOUT, Settings
from tests.support.platform import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Launch

pytestmark = pytest.mark.slow

FIRST = ["controller", "broker", "indexing", "collecting"]


class Machines:
    """Their folders and their processes, at addresses of 127.0.0.0/8."""

    def __init__(self, folder: Path, jars: Path, launch: Launch) -> None:
        self._folder, self._jars, self._launch = folder, jars, launch
        self._network = f"127.{secrets.randbelow(200) + 20}.{os.getpid() % 250}"
        self._authority, self._cluster = Authority(folder / "ca", "test"), random_id()
        self.passwords = {name: secrets.token_urlsafe(16) for name in USERS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def inventory(self, **roles: list[str]) -> Inventory:
        machines = {
            name: {"address": f"{self._network}.{n}", "roles": of} for n, (name, of) in enumerate(roles.items(), 11)
        }
        return parse({"deployment": "test", "network": f"{self._network}.0/24", "machines": machines}, "test")

    def prepare(self, found: Inventory, machine: str) -> dict[str, str]:
        """Writes what a deployment writes; returns it."""
        own = self._folder / machine
        if not own.exists():
            (own / "home").mkdir(parents=True)
            (own / "home" / "jars").symlink_to(self._jars)
            (own / "kafka.pem").touch(0o600)
            names = [str(found.machines[machine].address), machine]
            (own / "kafka.pem").write_bytes(self._authority.issue(SUPER_USER, names).keystore)
        files = Files(own / "data", own / "kafka.pem", self._authority.certificate_path)
        properties = server_properties(found, machine, files)
        creation = {name: properties.pop(name) for name in OF_NEW_TOPICS}
        wanted = {
            "server.properties": as_properties(properties),
            "creation.properties": as_properties(creation),
            "cluster.id": f"{self._cluster}\n",
        }
        for name, text in wanted.items():
            (own / name).write_text(text)
        return wanted

    def start(self, machine: str) -> None:
        own = self._folder / machine
        environment = {**os.environ, "VIGIL_HOME": str(own / "home")}
        self.processes[machine] = self._launch(
            "infra.machines.kafka.serve", str(own), environment=environment, log=own / "kafka.out"
        )

    def make_users(self, found: Inventory) -> bool:
        address = str(found.machines["a"].address)
        command = [sys.executable, "-m", "infra.machines.kafka.users", address]
        command += ["--keystore", str(self._folder / "a" / "kafka.pem"), "--ca", str(self._authority.certificate_path)]
        stdin = json.dumps(self.passwords).encode()
        done = subprocess.run(command, input=stdin, cwd=CHECKOUT, capture_output=True, timeout=120, check=False)
        return done.returncode == 0

    def access(self, found: Inventory, user: str) -> KafkaAccess:
        ca, word = str(self._authority.certificate_path), self.passwords[user]
        return KafkaAccess(found.kafka_inside, Protocol.SASL_SSL, Mechanism.SCRAM_SHA_512, user, word, ca)

    def settings(self, found: Inventory, user: str) -> Settings:
        access = self.access(found, user)
        return Settings(
            home=self._folder / "client",
            kafka_bootstrap=access.bootstrap,
            kafka_security_protocol=access.protocol,
            kafka_username=user,
            kafka_password=access.password,
            kafka_ca_path=access.ca_path,
        )


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ()


def brokers(access: KafkaAccess) -> int:
    return len(clients.admin(access).list_topics(timeout=20).brokers)


def takes(access: KafkaAccess) -> bool:
    """Whether a record is written on all copies that are there."""
    done: list[object] = []
    producer = clients.producer(access, **{"delivery.timeout.ms": 15_000})
    producer.produce(topics.LOGS, b"{}", b"node", on_delivery=lambda error, _: done.append(error))
    producer.flush(20)
    return done == [None]


def test_any_one_of_three_may_be_lost_and_a_fourth_broker_restarts_none(
    tmp_path: Path, empty_home: Path, launch: Launch
) -> None:
    made = Machines(tmp_path, empty_home / "jars", launch)
    three = {"a": FIRST, "b": ["controller", "broker", "elasticsearch", "alerting"], "c": ["controller", "broker"]}
    found = made.inventory(**three)
    before = {name: made.prepare(found, name) for name in three}
    for name in three:
        made.start(name)
    wait_until(lambda: made.make_users(found), 240, "users are made")
    control, accumulator = made.access(found, "control"), made.access(found, "accumulator")
    wait_until(lambda: brokers(control) == 3, 120, "all are there")
    ensure_topics(made.settings(found, "control"), brokers=3)
    known = clients.admin(control).list_topics(timeout=20).topics[topics.LOGS].partitions
    assert {len(partition.replicas) for partition in known.values()} == {3}
    assert takes(accumulator)

    made.processes["a"].kill()  # the leader of the quorum, as like as not
    made.processes["a"].wait()
    wait_until(lambda: takes(accumulator), 120, "records are taken without it")
    made.start("a")
    wait_until(lambda: brokers(control) == 3, 120, "it is back")

    four = made.inventory(**three, d=["broker"])
    after = {name: made.prepare(four, name) for name in ("a", "b", "c", "d")}
    for name in three:
        assert after[name] == before[name]
    made.start("d")
    wait_until(lambda: brokers(control) == 4, 120, "the fourth is there")
    assert takes(accumulator)
