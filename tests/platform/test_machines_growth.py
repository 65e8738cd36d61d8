"""A third machine comes to two that run: it takes its part of the work, and nothing of the others is restarted."""

from __future__ import annotations

import pytest

from infra.machines.placement import Role
from infra.machines.target import Machines
from infra.service_manager import RunState
from infra.virtualbox.wanted import Node
from streaming.canary import await_document, await_receipt, send_canary
from streaming.events.model import Level
from streaming.kafka import clients, topics
from tests.support.platform import wait_until
from tests.support.virtualbox import terraform
from tests.support.virtualbox.deployed import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]

THIRD = Node(number=13, roles=(Role.BROKER, Role.INDEXING), memory_mb=2048)


def test_a_third_machine_takes_its_part_and_restarts_nothing(place: Place) -> None:
    place.deploy()
    before = _started(_machines(place))

    place.wanted = place.wanted.model_copy(update={"nodes": {**place.wanted.nodes, "third": THIRD}})
    rolled = place.deploy()
    machines = _machines(place)
    assert {name: rolled[name].restarted for name in ("producer", "consumer")} == {"producer": (), "consumer": ()}
    for name in ("producer", "consumer"):
        assert set(rolled[name].changed) <= {
            "files/brokers.env",
            "files/kafka/creation.properties",
            "files/firewall.nft",
            "firewall",
        }
    after = _started(machines)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"kafka@third", "indexer@third"}
    assert {status.state for status in machines.manager.all()} == {RunState.RUNNING}

    settings = machines.client_settings()
    assert len(clients.admin(settings.kafka).list_topics(timeout=20).brokers) == 3
    wait_until(lambda: len(_indexing(machines)) == 2, 60, "both indexers have partitions of the logs")
    with machines.connections.forward("producer", place.settings.accumulator1_port) as port:
        settings = settings.model_copy(update={"accumulator1_port": port})
        await_document(settings, send_canary(settings, Level.INFO), 60)
        await_receipt(settings, send_canary(settings, Level.ERROR), 60)

    assert all(not one.changed and not one.restarted for one in place.deploy().values())
    assert _started(machines) == after


def _started(machines: Machines) -> dict[str, int | None]:
    # Kibana comes with packages alone.
    placed = [str(one) for one in machines.inventory.placement if one.service != "kibana"]
    return {name: machines.manager.status(name).started_ms for name in placed}


def _indexing(machines: Machines) -> set[str]:
    """Hosts of the members of the indexers' group that have a partition."""
    settings = machines.client_settings()
    group, admin = settings.group("indexer"), clients.admin(settings.kafka)  # answers come while the client lives
    found = admin.describe_consumer_groups([group])[group].result(30)
    wanted = settings.topic(topics.LOGS)
    return {
        member.host
        for member in found.members
        if any(partition.topic == wanted for partition in member.assignment.topic_partitions)
    }


def _machines(place: Place) -> Machines:
    assert place.machines is not None
    return place.machines
