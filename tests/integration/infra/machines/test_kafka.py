"""Kafka as machines run it: two real brokers with TLS, users and rights, each at a loopback address of its own."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from infra.local.kafka import as_properties, random_id
from infra.machines.certificates import Authority, Issued
from infra.machines.inventory import Inventory, parse
from infra.machines.kafka.configuration import SUPER_USER, Files, server_properties
from infra.machines.kafka.rights import USERS
from streaming import decoding
from streaming.kafka import clients, topics
from streaming.kafka.access import KafkaAccess, Mechanism
from streaming.kafka.access import Protocol as Security
from streaming.kafka.admin import ensure_topics
from streaming.kafka.transactions import TransactionalProducer
from streaming.settings import CHECKOUT, Settings
from tests.support.platform import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Launch


class Cluster:
    """Two machines' Kafka without the machines: their folders, their processes."""

    def __init__(self, folder: Path, jars: Path, launch: Launch) -> None:
        self._folder, self._jars, self._launch = folder, jars, launch
        # All of 127.0.0.0/8 is this machine: a network of the test's own, so that ports collide with nobody's.
        network = f"127.{secrets.randbelow(200) + 20}.{os.getpid() % 250}"
        self.inventory: Inventory = parse(
            {
                "deployment": "test",
                "network": f"{network}.0/24",
                "machines": {
                    "producer": {
                        "address": f"{network}.11",
                        "roles": ["controller", "broker", "indexing", "collecting", "services", "standby"],
                    },
                    "consumer": {"address": f"{network}.12", "roles": ["broker", "elasticsearch", "alerting"]},
                },
            },
            "test",
        )
        # In the midst of a change: one node shows what the old authority has signed, the other what the new one has.
        self.authority = Authority(folder / "ca", "test")
        signed = {"producer": self._issue("producer")}
        self.authority.begin_change()
        self.authority.sign_by_next()
        signed["consumer"] = self._issue("consumer")
        self.passwords = {name: secrets.token_urlsafe(16) for name in USERS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        cluster = random_id()
        for machine in self.inventory.machines:
            own = folder / machine
            (own / "home").mkdir(parents=True)
            (own / "home" / "jars").symlink_to(jars)
            keystore = own / "kafka.pem"
            keystore.touch(0o600)
            keystore.write_bytes(signed[machine].keystore)
            files = Files(own / "data", keystore, self.authority.certificate_path)
            properties = as_properties(server_properties(self.inventory, machine, files))
            (own / "server.properties").write_text(properties)
            (own / "cluster.id").write_text(cluster + "\n")

    def _issue(self, machine: str) -> Issued:
        return self.authority.issue(SUPER_USER, [str(self.inventory.machines[machine].address), machine])

    def start(self, machine: str) -> None:
        own = self._folder / machine
        environment = {**os.environ, "VIGIL_HOME": str(own / "home")}
        log = own / "kafka.out"
        self._processes[machine] = self._launch(
            "infra.machines.kafka.serve", str(own), environment=environment, log=log
        )

    def kill(self, machine: str) -> None:
        self._processes[machine].kill()
        self._processes[machine].wait()

    def said(self, machine: str) -> str:
        return (self._folder / machine / "kafka.out").read_text()

    def as_user(self, name: str, password: str | None = None) -> KafkaAccess:
        return KafkaAccess(
            self.inventory.kafka_inside,
            Security.SASL_SSL,
            Mechanism.SCRAM_SHA_512,
            name,
            password or self.passwords[name],
            str(self.authority.certificate_path),
        )

    def manage_users(self, passwords: dict[str, str]) -> dict[str, list[str]]:
        """By the command, as a deployment calls it on the first broker."""
        address = str(self.inventory.machines["producer"].address)
        files = ("--keystore", str(self._folder / "producer" / "kafka.pem"), "--ca")
        command = [sys.executable, "-m", "infra.machines.kafka.users", address, *files]
        done = subprocess.run(
            [*command, str(self.authority.certificate_path)],
            input=json.dumps(passwords).encode(),
            cwd=CHECKOUT,
            capture_output=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert not [word for word in passwords.values() if word.encode() in done.stdout + done.stderr]
        return decoding.decode(done.stdout, dict[str, list[str]])

    def settings(self, user: str) -> Settings:
        access = self.as_user(user)
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


@pytest.fixture
def cluster(tmp_path: Path, empty_home: Path, launch: Launch) -> Cluster:
    made = Cluster(tmp_path, empty_home / "jars", launch)
    made.start("producer")
    made.start("consumer")
    return made


def refusal(access: KafkaAccess, topic: str) -> str:
    """What Kafka says to a record; empty if it takes it."""
    said: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        said.append("" if error is None else error.name())

    out: Producer = clients.producer(access, message_timeout_ms=20_000)
    out.produce(topic, b"{}", on_delivery=delivered)
    assert out.flush(30) == 0
    return said[0]


def may_read(access: KafkaAccess, topic: str, group: str) -> str:
    """What a consumer in that group is told; empty if it is given partitions."""
    source = clients.consumer(access, group)
    given: list[object] = []
    source.subscribe([topic], on_assign=lambda _, partitions: given.extend(partitions))
    deadline = time.monotonic() + 40
    try:
        while not given and time.monotonic() < deadline:
            message = source.poll(0.2)
            if message is not None and (error := message.error()) is not None and "AUTHORIZATION" in error.name():
                return error.name()
        assert given, "neither partitions nor an error"
        return ""
    finally:
        source.close()


def answers(access: KafkaAccess, brokers: int) -> bool:
    try:
        return len(clients.admin(access).list_topics(timeout=2).brokers) == brokers
    except KafkaException:
        return False


def test_users_may_do_what_they_need_and_nothing_else_and_one_broker_is_enough(cluster: Cluster) -> None:
    address = str(cluster.inventory.machines["producer"].address)
    wait_until(lambda: listens(address, 9092), 90, "the first broker listens")
    changes = cluster.manage_users(cluster.passwords)
    assert sorted(changes["passwords"]) == sorted(USERS)
    control = cluster.as_user("control")
    wait_until(lambda: answers(control, 2), 60, "both brokers are seen, each trusting both authorities")
    report = ensure_topics(cluster.settings("control"))
    assert topics.LOGS in report.created

    # Again changes nothing.
    assert cluster.manage_users(cluster.passwords) == {"passwords": [], "removed": [], "granted": [], "revoked": []}

    assert refusal(cluster.as_user("accumulator"), topics.LOGS) == ""
    assert refusal(cluster.as_user("indexer"), topics.LOGS) == "TOPIC_AUTHORIZATION_FAILED"
    assert refusal(cluster.as_user("indexer"), topics.DEAD_LETTERS) == ""
    assert may_read(cluster.as_user("indexer"), topics.LOGS, "vigil-indexer") == ""
    assert may_read(cluster.as_user("indexer"), topics.LOGS, "vigil-matcher") == "GROUP_AUTHORIZATION_FAILED"
    assert "AUTHORIZATION" in may_read(cluster.as_user("accumulator"), topics.LOGS, "vigil-indexer")
    with pytest.raises(KafkaException):
        clients.admin(cluster.as_user("indexer", "wrong")).list_topics(timeout=3)
    with pytest.raises(KafkaException):
        clients.admin(replace(control, protocol=Security.SASL_PLAINTEXT)).list_topics(timeout=3)

    # A password is changed while its user works: what is connected stays so, to the brokers that it has asked already.
    matcher = TransactionalProducer(cluster.as_user("matcher"), "vigil-matcher-slot0")
    with matcher.transaction() as out:
        out.produce(topics.CANDIDATES, b"{}")
    old = cluster.as_user("matcher")
    cluster.passwords["matcher"] = secrets.token_urlsafe(16)
    assert cluster.manage_users(cluster.passwords)["passwords"] == ["matcher"]
    wait_until(lambda: not answers(old, 2), 30, "the old password is refused")
    with matcher.transaction() as out:
        out.produce(topics.CANDIDATES, b"{}")

    # The second machine is lost: transactions still commit.
    cluster.kill("consumer")
    one = replace(cluster.as_user("matcher"), bootstrap=f"{address}:9092")
    wait_until(lambda: answers(one, 1), 60, "the loss is noticed")
    with TransactionalProducer(one, "vigil-matcher-slot0").transaction() as out:
        out.produce(topics.CANDIDATES, b"{}")
    assert not [word for word in cluster.passwords.values() if word in cluster.said("producer")]


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True
