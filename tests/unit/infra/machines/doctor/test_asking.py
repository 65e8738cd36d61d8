"""What VBoxManage says of a machine, what Kafka's metadata mean, and how a handshake ends."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

from infra.machines.certificates import Authority
from infra.machines.doctor.asking import virtual_machine
from infra.machines.doctor.facts import Handshake, Tls
from infra.machines.doctor.servers import handshake, kafka_facts
from infra.machines.flows import FLOWS
from infra.machines.target import CONTROL, Machines
from streaming.settings import Settings
from tests.support.inventories import inventory
from tests.support.listening import free_port

FLOW = next(flow for flow in FLOWS if flow.name == "kafka-host")


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    made = Machines(Settings(home=tmp_path), inventory(), tmp_path / "state")
    made.store.certificate(CONTROL, CONTROL)
    return made


@contextmanager
def serving(folder: Path, keystore: bytes) -> Iterator[int]:
    """A TLS server with this certificate; its port."""
    file = folder / "server.pem"
    file.write_bytes(keystore)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.settimeout(5)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def tried(machines: Machines, port: int) -> Tls:
    return handshake(machines, "producer", FLOW, f"127.0.0.1:{port}")


def test_handshakes_tell_what_is_wrong(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(machines.folder / "secrets" / "ca", "vigil")
    with serving(tmp_path, authority.issue("kafka", ("127.0.0.1",)).keystore) as port:
        found = tried(machines, port)
        assert found.handshake is Handshake.DONE
        assert 80 < (found.days_left or 0) <= 90
    # As if it were a year later for whoever made it: a certificate of a moment.
    with serving(tmp_path, authority.issue("kafka", ("127.0.0.1",), days=-1 / 86400).keystore) as port:
        found = tried(machines, port)
        assert found.handshake is Handshake.EXPIRED
        assert found.days_left is not None
        assert found.days_left < 0
    with serving(tmp_path, authority.issue("kafka", ("10.77.0.11",)).keystore) as port:
        assert tried(machines, port).handshake is Handshake.STRANGER
    other = Authority(tmp_path / "other", "other")
    with serving(tmp_path, other.issue("kafka", ("127.0.0.1",)).keystore) as port:
        assert tried(machines, port).handshake is Handshake.STRANGER
    assert tried(machines, free_port()).handshake is Handshake.REFUSED
    monkeypatch.setattr("infra.machines.doctor.servers.HANDSHAKE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert tried(machines, silent.getsockname()[1]).handshake is Handshake.SILENT


@pytest.mark.parametrize(
    ("script", "state", "error"),
    [
        ("echo 'name=\"x\"'; echo 'VMState=\"running\"'", "running", ""),
        ("echo 'VMState=\"poweroff\"'", "poweroff", ""),
        ("echo \"VBoxManage: error: Could not find a registered machine named 'x'\" >&2; exit 1", "", ""),
        ("echo 'VBoxManage: error: no service' >&2; exit 1", "", "VBoxManage: error: no service"),
        ("true", "", "VBoxManage gives no state"),
    ],
)
def test_what_vboxmanage_says(
    script: str, state: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "VBoxManage"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("VIGIL_VBOXMANAGE", str(program))
    found = virtual_machine("x")
    assert (found.state, found.error) == (state, error)


def test_where_there_is_no_vboxmanage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIGIL_VBOXMANAGE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not on the path" in virtual_machine("x").error
    monkeypatch.setenv("VIGIL_VBOXMANAGE", str(tmp_path / "none"))
    assert "No such file" in virtual_machine("x").error


def partition(leader: int, replicas: list[int], isrs: list[int]) -> SimpleNamespace:
    return SimpleNamespace(leader=leader, replicas=replicas, isrs=isrs)


def test_metadata_of_kafka() -> None:
    topics = {
        "logs": SimpleNamespace(
            partitions={
                0: partition(11, [11, 12], [11, 12]),
                1: partition(11, [11, 12], [11]),
                2: partition(-1, [12], []),
            }
        )
    }
    metadata = SimpleNamespace(brokers={11: object(), 99: object()}, topics=topics)
    found = kafka_facts(cast("ClusterMetadata", metadata), inventory(), ["logs", "candidates"])
    assert found.brokers == {"producer"}
    assert found.missing_topics == ("candidates",)
    assert found.under_replicated == ("logs-1",)
    assert found.offline == ("logs-2",)
