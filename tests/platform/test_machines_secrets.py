"""Every secret of a deployment to two machines is rotated while logs and alerts flow; what has expired is repaired."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from pydantic import SecretStr

from infra.machines.certificates import Issued
from infra.machines.kafka.rights import USERS
from infra.machines.rotation.delivery import secrets_of
from infra.machines.rotation.rotate import renew, rotate
from infra.machines.rotation.standing import State, standings
from infra.machines.rotation.subjects import SLACK_TOKENS, all_certificates, plan
from infra.machines.ssh import Connections, servers
from infra.machines.target import CONTROL, Machines
from infra.machines.unreachable import MachineUnavailable, Trouble
from infra.service_manager import RunState
from streaming.alerting.receipts import read_receipts
from streaming.alerting.state import read_incidents
from streaming.canary import LOG_ID_FIELD, RULE_ID, Canary, await_document, await_receipt, send_canary
from streaming.elastic.connection import Connection
from streaming.elastic.mapping import logs_pattern
from streaming.errors import Unavailable, VigilError
from streaming.events.model import Level
from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess
from streaming.settings import Settings
from tests.support.platform import wait_until
from tests.support.virtualbox import host, terraform
from tests.support.virtualbox.deployed import Place, emulated

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]

BETWEEN_S = 2.0
ARRIVES_WITHIN_S = 120.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    try:
        with emulated(tmp_path) as made:
            yield made
    except host.HostUnavailable as error:
        pytest.skip(str(error))


class Load:
    """Sends canaries to the producer machine's first accumulator, over a connection of its own; one that was not
    acknowledged is no canary."""

    def __init__(self, machines: Machines, around: Path) -> None:
        # The key of the machines is rotated meanwhile.
        self.key = shutil.copy(machines.key, around / "key-of-the-load")
        self._machines, self.sent, self.refused = machines, list[tuple[Level, Canary]](), 0
        self._stop = threading.Event()

    def run(self) -> None:
        machines = self._machines
        with Connections(servers(machines.inventory), Path(self.key), machines.known_hosts) as own:
            levels = (Level.INFO, Level.INFO, Level.ERROR)
            with own.forward("producer", machines.settings.accumulator1_port) as port:
                here = machines.settings.model_copy(update={"accumulator1_port": port})
                number = 0
                while not self._stop.wait(BETWEEN_S):
                    level = levels[number % 3]
                    number += 1
                    try:
                        self.sent.append((level, send_canary(here, level)))
                    except (VigilError, OSError):  # its accumulator is being restarted
                        self.refused += 1

    @contextmanager
    def flowing(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def arrived(self, settings: Settings) -> None:
        """All are documents, and those of level ERROR were told of."""
        alerts = {canary.log_id for level, canary in self.sent if level is Level.ERROR}
        everything = {canary.log_id for _, canary in self.sent}
        await_document(settings, self.sent[-1][1], ARRIVES_WITHIN_S)
        wait_until(lambda: not everything - searchable(settings, everything), ARRIVES_WITHIN_S, "all are searchable")
        wait_until(lambda: not alerts - told(settings), ARRIVES_WITHIN_S, "all alerts are delivered")


class Old:
    """What a deployment had before everything was rotated."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        folder.mkdir()
        self.machines, self.folder = machines, folder
        self.passwords = machines.store.passwords(list(USERS))
        self.values = machines.store.values()
        for name, source in (
            ("key", machines.key),
            ("ca.pem", machines.store.authority),
            ("control.pem", machines.store.keystore(CONTROL)),
        ):
            shutil.copy(source, folder / name)

    def refused(self) -> None:
        """Each of it, by whoever took it."""
        now = self.machines.client_settings()
        access = replace(now.kafka, bootstrap=self.machines.inventory.kafka_outside)
        assert answers(access)
        for user, password in self.passwords.items():
            assert not answers(replace(access, username=user, password=password)), user
        assert not answers(replace(access, ca_path=str(self.folder / "ca.pem"))), "Kafka shows what the old one signed"

        assert searches(now)
        shown = str(self.folder / "control.pem")
        assert not searches(now.model_copy(update={"elasticsearch_cert_path": shown, "elasticsearch_key_path": shown}))
        assert not searches(now.model_copy(update={"elasticsearch_ca_path": str(self.folder / "ca.pem")}))

        with Connections(servers(self.machines.inventory), self.folder / "key", self.machines.known_hosts) as old:
            for name in self.machines.inventory.machines:
                with pytest.raises(MachineUnavailable) as error:
                    old.check(name, ["true"])
                assert error.value.trouble is Trouble.AUTHENTICATION
                assert self.machines.connections.check(name, ["echo", "in"]) == "in\n"
        assert not self.values & self.machines.store.values()


def searchable(settings: Settings, log_ids: set[str]) -> set[str]:
    query = {"size": len(log_ids), "_source": [LOG_ID_FIELD], "query": {"terms": {LOG_ID_FIELD: sorted(log_ids)}}}
    with closing(Connection(settings.elastic, 30)) as connection:
        answer = connection.json("POST", f"/{logs_pattern(settings.index_prefix)}/_search", query)
    return {log_id for log_id in log_ids if log_id.encode() in answer.body}


def told(settings: Settings) -> set[str]:
    """Log ids of the canaries whose incident was delivered to somebody."""
    delivered = {receipt.incident_id for receipt in read_receipts(settings)}
    incidents = [one for one in read_incidents(settings) if one.rule_id == RULE_ID and one.incident_id in delivered]
    return {value for one in incidents for value in one.group.values()}


def answers(access: KafkaAccess) -> bool:
    try:
        return len(clients.admin(access).list_topics(timeout=5).brokers) == 2
    except KafkaException:
        return False


def searches(settings: Settings) -> bool:
    try:
        with closing(Connection(settings.elastic, 10)) as connection:
            return connection.request("GET", "/_cluster/health").status == 200
    except Unavailable:
        return False


def deployed_again(place: Place) -> Machines:
    place.deploy()
    assert place.machines is not None
    assert {status.state for status in place.machines.manager.all()} == {RunState.RUNNING}
    return place.machines


def test_everything_is_rotated_while_the_stream_runs(place: Place, tmp_path: Path) -> None:
    tokens = {name: SecretStr(f"xoxb-{name}") for name in SLACK_TOKENS}
    place.settings = place.settings.model_copy(update={"slack_bot_token": tokens["slack_bot_token"]})
    machines = deployed_again(place)
    old, load = Old(machines, tmp_path / "old"), Load(machines, tmp_path)

    machines.settings = machines.settings.model_copy(update={"slack_bot_token": SecretStr("xoxb-rotated")})
    said: list[str] = []
    with load.flowing():
        done = rotate(machines, plan(machines.inventory, ["all"]), said.append)
    print("\n".join(said))
    assert done.restarted.count("kafka@producer") == 3
    assert not [value for value in (*old.values, *machines.store.values()) if value in "\n".join(said)]
    print(f"{len(load.sent)} canaries were acknowledged, {load.refused} not")
    assert len(load.sent) > 30
    load.arrived(machines.client_settings())
    old.refused()
    assert renew(machines, said.append).is_empty

    # Deploying again, with the token that was rotated, finds nothing to do.
    place.settings = place.settings.model_copy(update={"slack_bot_token": SecretStr("xoxb-rotated")})
    before = place.started()
    machines = deployed_again(place)
    assert place.started() == before

    place.deployment.apply(place.deployment.propose_end())
    place.box.assert_empty()


def test_certificates_that_have_expired_are_repaired_by_deploying_again(place: Place) -> None:
    machines = deployed_again(place)
    expire(machines)
    assert not searches(machines.client_settings())
    machines = deployed_again(place)
    found = standings(machines.inventory, machines.store, machines.pending, machines.store.now())
    assert {one.state for one in found} == {State.GOOD}
    with machines.connections.forward("producer", place.settings.accumulator1_port) as port:
        here = machines.client_settings().model_copy(update={"accumulator1_port": port})
        await_document(here, send_canary(here, Level.INFO), ARRIVES_WITHIN_S)
        await_receipt(here, send_canary(here, Level.ERROR), ARRIVES_WITHIN_S)


def expire(machines: Machines) -> None:
    """Gives all services certificates that expired a minute ago, as if nobody had renewed them, and restarts them."""
    store = machines.store
    for file, (name, reached_by) in all_certificates(machines.inventory).items():
        expired: Issued = store.issuer.issue(name, reached_by, days=-1 / 24 / 60)
        store.keystore(file).write_bytes(expired.keystore)
    for name in machines.inventory.machines:
        machines.administration.configure(name, secrets_of(machines, name, settings_too=False))
    for service in ("kafka", "elasticsearch-proxy", "indexer"):
        machines.manager.restart(service)
