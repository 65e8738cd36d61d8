"""Asks servers on machines from this host: TLS, Kafka, Elasticsearch, how far workers are."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]
from cryptography import x509

from infra import gates
from infra.machines.doctor.facts import Elasticsearch, Facts, Handshake, Kafka, Lag, Tls
from infra.machines.flows import Flow, flows_to
from infra.machines.inventory import ForwardName, Inventory
from infra.machines.kafka.configuration import node_id
from infra.machines.placement import Role
from infra.machines.target import CONTROL, Machines
from infra.machines.unreachable import plain
from infra.services import GateKind, Service, Stage
from streaming.errors import Unavailable
from streaming.kafka.topics import CATALOGUE
from streaming.pipeline.measuring import Measuring
from streaming.settings import Settings

HANDSHAKE_S = 5.0
MEASURED_WITHIN_S = 15.0
"""One measurement has 4 s, which its clients' first handshakes may use up on a busy machine; the next need none."""

ANSWERS_S = 10.0
"""A broker that has just started takes up to 5 s for metadata."""

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def asked(machines: Machines, facts: Facts) -> Facts:
    """The facts, with those of the servers. Servers behind a handshake that failed are not asked.

    Raises:
        ConfigError: the deployment's own secrets cannot be read.
    """
    settings = machines.client_settings()
    places = list(_places(facts))
    with ThreadPoolExecutor(max(1, len(places))) as pool:
        tls = tuple(pool.map(lambda one: handshake(machines, *one), places))
    done = {(one.flow.name, one.machine) for one in tls if one.handshake is Handshake.DONE}
    kafka = _kafka(settings, facts.inventory) if any(name == "kafka-host" for name, _ in done) else None
    first = next(iter(facts.inventory.having(Role.ELASTICSEARCH)))
    elastic = _elasticsearch(settings) if ("elasticsearch", first) in done else None
    facts = replace(facts, tls=tls, kafka=kafka, elasticsearch=elastic)
    if kafka is None or kafka.error:
        return facts
    try:
        return replace(facts, lag=_lag(settings))
    except Unavailable as error:
        return replace(facts, lag_error=plain(str(error), 200))


def _places(facts: Facts) -> Iterator[tuple[str, Flow, str]]:
    """Machine, flow and HOST:PORT of everything that this host speaks TLS with, as far as the machine was reached."""
    for name, machine in facts.inventory.machines.items():
        if facts.machines[name].inside is None:
            continue
        for flow in flows_to(facts.inventory, name, facts.software):
            if flow.forward is not None and flow.forward is not ForwardName.SSH:
                yield name, flow, machine.outside(flow.forward, flow.port)


def handshake(machines: Machines, name: str, flow: Flow, place: str) -> Tls:
    """One handshake, with the certificate that this host shows."""
    host, _, port = place.rpartition(":")
    context = ssl.create_default_context(cafile=str(machines.store.authority))
    context.load_cert_chain(machines.store.keystore(CONTROL), password="")
    try:
        days = _days_left(_certificate(context, host, int(port)))
    except ssl.SSLCertVerificationError as error:
        way = Handshake.EXPIRED if error.verify_code == _EXPIRED else Handshake.STRANGER
        return Tls(name, flow, place, way, _days_unverified(host, int(port)), plain(error.verify_message, 200))
    except ssl.SSLEOFError:
        return Tls(name, flow, place, Handshake.SILENT)
    except ssl.SSLError as error:
        return Tls(name, flow, place, Handshake.FAILED, words=plain(error.reason or str(error), 200))
    except ConnectionRefusedError:
        return Tls(name, flow, place, Handshake.REFUSED)
    except OSError:  # no answer in time, or closed at once
        return Tls(name, flow, place, Handshake.SILENT)
    return Tls(name, flow, place, Handshake.DONE, days)


def _certificate(context: ssl.SSLContext, host: str, port: int) -> bytes:
    with (
        socket.create_connection((host, port), HANDSHAKE_S) as plain_socket,
        context.wrap_socket(plain_socket, server_hostname=host) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def _days_unverified(host: str, port: int) -> float | None:
    """Of a certificate that cannot be trusted: to say how old it is, and for nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return _days_left(_certificate(context, host, port))
    except OSError:
        return None


def _days_left(certificate: bytes) -> float | None:
    try:
        ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except ValueError:
        return None
    return (ends - datetime.now(UTC)).total_seconds() / 86400


def _kafka(settings: Settings, inventory: Inventory) -> Kafka:
    try:
        found = AdminClient({**settings.kafka.options(), "log_level": 0}).list_topics(timeout=ANSWERS_S)
    except KafkaException as error:
        return Kafka(plain(error.args[0].str(), 200))
    return kafka_facts(found, inventory, [settings.topic(topic.name) for topic in CATALOGUE])


def kafka_facts(found: ClusterMetadata, inventory: Inventory, topics: list[str]) -> Kafka:
    """What a cluster's metadata says."""
    ids = {node_id(inventory, name): name for name in inventory.having(Role.BROKER)}
    offline, behind = [], []
    for name, topic in sorted(found.topics.items()):
        for number, partition in sorted(topic.partitions.items()):
            if partition.leader < 0:
                offline.append(f"{name}-{number}")
            elif len(partition.isrs) < len(partition.replicas):
                behind.append(f"{name}-{number}")
    return Kafka(
        brokers=frozenset(ids[number] for number in found.brokers if number in ids),
        missing_topics=tuple(name for name in topics if name not in found.topics),
        under_replicated=tuple(behind),
        offline=tuple(offline),
    )


def _elasticsearch(settings: Settings) -> Elasticsearch:
    service = Service("elasticsearch", Stage.ELASTICSEARCH, GateKind.ELASTICSEARCH, settings.elasticsearch_port)
    answer = gates.probe(service, settings, ANSWERS_S)
    return Elasticsearch(answer.ok, plain(answer.reason, 300))


def _lag(settings: Settings) -> dict[str, Lag]:
    """Raises Unavailable: Kafka does not answer."""
    deadline = time.monotonic() + MEASURED_WITHIN_S
    with closing(Measuring(settings)) as measuring:
        while True:
            try:
                workers = measuring.measure().workers
                break
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
    now_ms = time.time() * 1000
    found = {}
    for worker, readings in workers.items():
        times = [one.oldest_ms for one in readings.values() if one.oldest_ms is not None]
        found[worker] = Lag(sum(one.lag for one in readings.values()), (now_ms - min(times)) / 1000 if times else None)
    return found
