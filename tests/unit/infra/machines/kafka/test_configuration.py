"""The configuration of each node, and the rights of each user."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]  # the package does not list its exports

from infra.machines.inventory import Inventory, parse
from infra.machines.kafka.configuration import Files, copies, node_id, server_properties
from infra.machines.kafka.rights import USERS, lists, user_of
from infra.services import catalogue
from streaming.dead_letters.indexing import DeadLetterIndexer
from streaming.history.indexing import HistoryIndexer
from streaming.history.sources import SOURCES
from streaming.indexer.worker import Indexer
from streaming.kafka.topics import CATALOGUE, DEAD_LETTERS, LOGS
from streaming.settings import Settings

FILES = Files(Path("/data"), Path("/run/credentials/kafka.pem"), Path("/etc/vigil/ca.pem"))
ELSEWHERE = ["elasticsearch", "indexing", "alerting", "collecting", "services"]


def inventory(**roles: list[str]) -> Inventory:
    machines = {
        name: {
            "address": f"10.77.0.{number}",
            "roles": of_machine,
            "forwards": {"kafka": {"host_port": 19000 + number, "guest_port": 9094}} if "broker" in of_machine else {},
        }
        for number, (name, of_machine) in enumerate(roles.items(), 11)
    }
    return parse({"deployment": "test", "network": "10.77.0.0/24", "machines": machines}, "test")


TWO = inventory(producer=["controller", "broker", *ELSEWHERE[1:]], consumer=["broker", "elasticsearch"])


def test_one_controller_and_two_brokers() -> None:
    producer, consumer = (server_properties(TWO, name, FILES) for name in ("producer", "consumer"))
    assert producer["process.roles"] == "broker,controller"
    assert consumer["process.roles"] == "broker"
    assert producer["controller.quorum.voters"] == consumer["controller.quorum.voters"] == "11@10.77.0.11:9093"
    assert (node_id(TWO, "producer"), consumer["node.id"]) == (11, "12")
    assert "CONTROLLER" not in consumer["listeners"]
    assert producer["advertised.listeners"] == (
        "CLIENTS://10.77.0.11:9092,HOST://127.0.0.1:19011,BROKERS://10.77.0.11:9095"
    )


def test_a_transaction_commits_on_one_broker_of_two() -> None:
    properties = server_properties(TWO, "consumer", FILES)
    internal = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic", "default")
    assert {properties[f"{name}.replication.factor"] for name in internal} == {"2"}
    assert properties["transaction.state.log.min.isr"] == "1"
    three = inventory(a=["controller", "broker", *ELSEWHERE], b=["controller", "broker"], c=["controller", "broker"])
    assert copies(three) == 3
    assert server_properties(three, "b", FILES)["transaction.state.log.min.isr"] == "2"


def test_a_controller_alone_has_no_listener_for_clients() -> None:
    apart = inventory(a=["controller"], b=["broker", *ELSEWHERE])
    properties = server_properties(apart, "a", FILES)
    assert (properties["process.roles"], properties["listeners"]) == ("controller", "CONTROLLER://10.77.0.11:9093")
    assert "advertised.listeners" not in properties


@pytest.mark.parametrize("machine", ["producer", "consumer"])
def test_nothing_goes_in_the_clear_and_no_password_is_written(machine: str) -> None:
    properties = server_properties(TWO, machine, FILES)
    protocols = {part.partition(":")[2] for part in properties["listener.security.protocol.map"].split(",")}
    assert protocols == {"SASL_SSL", "SSL"}
    assert properties["allow.everyone.if.no.acl.found"] == "false"
    assert not [line for line in properties.values() if "password" in line.lower()]


def test_every_service_that_speaks_to_kafka_has_a_user() -> None:
    for service in catalogue(Settings()):
        if service.name in ("kafka", "elasticsearch", "order", "payment", "inventory", "loadgen"):
            with pytest.raises(KeyError):
                user_of(service.name)
        else:
            assert user_of(service.name) in USERS
    assert user_of("accumulator3") == "accumulator"


def test_only_accumulators_and_people_write_logs() -> None:
    writers = {name for name, rights in USERS.items() if {LOGS, "*"} & set(rights.writes)}
    assert writers == {"accumulator", "control"}


def test_each_worker_of_an_indexers_process_may_read_its_topics_in_its_group() -> None:
    granted = {
        (binding.name, binding.operation)
        for binding in lists()
        if binding.principal == "User:indexer" and binding.operation is AclOperation.READ
    }
    read = {topic: worker.name for topic, worker in ((DEAD_LETTERS, DeadLetterIndexer), (LOGS, Indexer))}
    read |= {source.topic: HistoryIndexer.name for source in SOURCES}
    for topic, group in read.items():
        assert {(topic, AclOperation.READ), (f"vigil-{group}", AclOperation.READ)} <= granted


def test_rights_name_topics_that_exist() -> None:
    known = {topic.name for topic in CATALOGUE} | {"*"}
    assert {name for rights in USERS.values() for name in (*rights.reads, *rights.writes)} <= known
    assert len(lists()) > len(USERS)
