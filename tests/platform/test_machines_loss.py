"""What a deployment to two machines survives: either machine away or lost with its disk, and all that a hand can do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]  # not listed

from infra import backups
from infra.machines.contents import contents
from infra.machines.rollout import Rolled
from infra.machines.target import Machines
from streaming import decoding
from streaming.alerting.commands import send_commands
from streaming.alerting.messages import Command, Incident, IncidentState, Order
from streaming.alerting.state import read_incidents
from streaming.canary import Canary, CanaryLost, await_document, await_receipt, send_canary
from streaming.elastic.connection import Connection
from streaming.elastic.mapping import logs_pattern
from streaming.errors import Unavailable, VigilError
from streaming.events.model import Level
from streaming.kafka import clients, topics
from streaming.settings import Settings
from streaming.verify import Verdict, verify
from tests.support.chaos.producers import SERVICE, Producer, producers
from tests.support.groups import lag
from tests.support.platform import wait_until
from tests.support.virtualbox import deployed, host, terraform
from tests.support.virtualbox.deployed import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]

ACCUMULATOR = 24224
OFF_S = 60.0
CANARY_WITHIN_S = 120.0
"""Both machines share two cores with everything else that just started."""


@pytest.fixture(scope="module")
def software(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployed.software(tmp_path_factory.mktemp("software"))


@pytest.fixture
def place(tmp_path: Path, software: Path) -> Iterator[Place]:
    try:
        with deployed.emulated(tmp_path, software) as made:
            yield made
    except host.HostUnavailable as error:
        pytest.skip(str(error))


def test_a_consumer_machine_that_is_gone_is_made_again_with_its_documents(place: Place) -> None:
    place.deploy()
    sent = _send(_machines(place), nodes=4, events=2_000, seconds=10)
    wait_until(lambda: _documents(_settings(place)) == sent, 120, "all are searchable")
    _delete(place, "consumer")
    _apply_and_kill_it_half_way(place)

    place.deploy()
    assert any(line.startswith("lost: documents") for line in place.said)
    wait_until(lambda: _documents(_settings(place)) == sent, 240, "all are searchable again")
    _verify(place)
    _canaries_arrive(place)
    assert set(place.deploy().values()) == {Rolled((), ())}


def test_a_producer_machine_that_is_gone_is_made_again_from_the_last_backup(place: Place) -> None:
    place.deploy()
    sent = _send(_machines(place), nodes=4, events=2_000, seconds=10)
    wait_until(lambda: _documents(_settings(place)) == sent, 120, "all are searchable")
    before = {one.incident_id for one in read_incidents(_settings(place))}
    assert before
    backups.make(_settings(place), place.said.append)
    _delete(place, "producer")

    place.deploy()
    assert any(line.startswith("Kafka's cluster is lost with the disk of producer") for line in place.said)
    assert any("put back from vigil-backup-" in line for line in place.said)
    assert before <= {one.incident_id for one in read_incidents(_settings(place))}
    assert any("was set aside" in line for line in _machines(place).manager.logs("kafka@consumer", 1000))
    assert _documents(_settings(place)) == sent
    _canaries_arrive(place)
    assert set(place.deploy().values()) == {Rolled((), ())}


def test_a_consumer_machine_that_is_off_for_a_minute_costs_nothing_but_time(place: Place) -> None:
    place.deploy()
    _check_copies(_settings(place))
    events = 6_000
    with _sending(_machines(place), nodes=6, events=events, seconds=100) as nodes:
        wait_until(lambda: _documents(_settings(place)), 60, "the first are searchable")
        _power_off(place, "consumer")
        off_since = time.monotonic()
        with _accumulator(_machines(place)) as port:
            settings = _settings(place).model_copy(update={"accumulator1_port": port})
            canary = send_canary(settings, Level.ERROR)
            wait_until(lambda: _is_told(settings, canary), CANARY_WITHIN_S, "a standby has told of it")
            told_after = time.monotonic() - off_since
        wait_until(lambda: time.monotonic() - off_since > OFF_S, OFF_S, "a minute is over")
        assert place.box.run("startvm", "vigil-consumer", "--type", "headless").status == 0
        on_since = time.monotonic()
        assert all(node.join(240) for node in nodes)
        assert sum(node.acknowledged for node in nodes) == events
    wait_until(lambda: _documents(_settings(place)) == events, 240, "all are searchable")
    print(
        f"alert {told_after:.1f} s after it was off, all searchable {time.monotonic() - on_since:.1f} s after its start"
    )
    _verify(place)
    _canaries_arrive(place)
    opened = [one for one in read_incidents(_settings(place)) if one.rule_id not in ("canary", "error-log")]
    print("\n".join(f"{one.rule_id} {one.group} {one.title} {one.state}" for one in opened))
    assert not [one for one in opened if one.rule_id.startswith("node-")], "nodes were alive all the time"
    about = [(one.rule_id, *sorted(one.group.items())) for one in opened]
    assert len(about) == len(set(about)) <= 4, "one for each thing that is wrong"
    wait_until(lambda: not _open_about_the_pipeline(_settings(place)), 180, "what was wrong is over")
    assert set(place.deploy().values()) == {Rolled((), ())}


def test_what_waits_while_the_producer_machine_is_off_and_what_a_hand_changed_is_repaired(place: Place) -> None:
    place.deploy()
    sent = _send(_machines(place), nodes=4, events=2_000, seconds=10)
    wait_until(lambda: _documents(_settings(place)) == sent, 120, "all are searchable")

    _power_off(place, "producer")
    assert _documents(_settings(place)) == sent, "what is there is found"
    order = Command(order=Order.RESOLVE, author="test", at_ms=0, incident_id="none")
    with pytest.raises(Unavailable):  # no controller, so that nothing is taken
        send_commands(_settings(place), [order])
    place.deploy()
    _verify(place)
    _canaries_arrive(place)

    machines = _machines(place)
    wanted = contents(machines.inventory, "consumer", machines.deployed())
    edited = {**wanted.files, "env/notifier.env": wanted.files["env/notifier.env"] + "# by hand\n"}
    machines.administration.configure("consumer", replace(wanted, files=edited))
    machines.manager.stop("indexer")
    before = place.started()
    rolled = place.deploy()
    assert rolled["consumer"] == Rolled(("files/env/notifier.env",), ("notifier",))
    assert rolled["producer"] == Rolled((), ())
    after = place.started()
    assert {name for name in after if after[name] != before[name]} == {"notifier", "indexer"}


# ------------------------------------------------------------------------------------------------------------------


def _check_copies(settings: Settings) -> None:
    """Every topic, Kafka's own too, is on both brokers, and one of them is enough to go on."""
    admin = clients.admin(settings.kafka)
    found = admin.list_topics(timeout=10).topics
    assert {"__consumer_offsets", "__transaction_state"} < set(found)
    assert {len(part.replicas) for topic in found.values() for part in topic.partitions.values()} == {2}
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in found])
    assert {future.result()["min.insync.replicas"].value for future in asked.values()} == {"1"}


def _is_told(settings: Settings, canary: Canary) -> bool:
    try:
        await_receipt(settings, canary, 5.0)
    except (Unavailable, CanaryLost):  # also while partitions have no leader
        return False
    return True


def _power_off(place: Place, machine: str) -> None:
    assert place.box.run("controlvm", f"vigil-{machine}", "poweroff").status == 0


def _delete(place: Place, machine: str) -> None:
    """By hand, with its disk."""
    _power_off(place, machine)
    assert place.box.run("unregistervm", f"vigil-{machine}", "--delete").status == 0


def _apply_and_kill_it_half_way(place: Place) -> None:
    """When the missing machine is there and not yet whole."""
    proposal = place.deployment.propose(place.wanted)
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(place.deployment.apply, proposal)
        wait_until(lambda: len(place.box.state.machines) == 2, 60, "the machine is being made")
        for thread in Path("/proc/self/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                if b"terraform" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.killpg(child, signal.SIGKILL)
        with pytest.raises(VigilError):
            applying.result(60)


def _open_about_the_pipeline(settings: Settings) -> list[Incident]:
    return [
        one
        for one in read_incidents(settings)
        if one.rule_id.startswith("pipeline-") and one.state is not IncidentState.RESOLVED
    ]


def _machines(place: Place) -> Machines:
    assert place.machines is not None
    return place.machines


def _settings(place: Place) -> Settings:
    """Of a client on this host."""
    return _machines(place).client_settings().model_copy(update={"home": place.deployment.folder})


@contextmanager
def _accumulator(machines: Machines) -> Iterator[int]:
    with machines.connections.forward("producer", ACCUMULATOR) as port:
        yield port


@contextmanager
def _sending(machines: Machines, nodes: int, events: int, seconds: float) -> Iterator[Sequence[Producer]]:
    with _accumulator(machines) as port:
        found = producers(nodes, [port], events, seconds)
        for one in found:
            one.start()
        try:
            yield found
        finally:
            for one in found:
                one.stop()
            assert all(one.join(60) for one in found)


def _send(machines: Machines, nodes: int, events: int, seconds: float) -> int:
    """Logs through the first accumulator; how many it has acknowledged."""
    with _sending(machines, nodes, events, seconds) as found:
        assert all(one.join(seconds + 60) for one in found)
    assert sum(one.acknowledged for one in found) == events
    return events


class _Count(msgspec.Struct):
    count: int


def _documents(settings: Settings) -> int:
    """How many of the logs that these tests send are searchable."""
    path = f"/{logs_pattern(settings.index_prefix)}"
    with closing(Connection(settings.elastic, 10.0)) as connection:
        try:
            connection.request("POST", f"{path}/_refresh")
            answer = connection.json("POST", f"{path}/_count", {"query": {"term": {"service.name": SERVICE}}})
        except Unavailable:
            return 0
    return decoding.decode(answer.body, _Count).count if answer.status == 200 else 0


def _canaries_arrive(place: Place) -> None:
    with _accumulator(_machines(place)) as port:
        settings = _settings(place).model_copy(update={"accumulator1_port": port})
        await_document(settings, send_canary(settings, Level.INFO), CANARY_WITHIN_S)
        await_receipt(settings, send_canary(settings, Level.ERROR), CANARY_WITHIN_S)


def _verify(place: Place) -> None:
    settings = _settings(place)
    wait_until(lambda: lag(settings, topics.LOGS, "indexer") < 50, 120, "the indexer has come to the end")
    report = verify(settings)
    assert report.verdict is Verdict.PROVEN, report
