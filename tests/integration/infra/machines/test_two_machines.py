"""Two real machines without servers: what their firewalls let through, and which broken links the doctor names."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.machines import firewall, rollout
from infra.machines.certificates import Authority
from infra.machines.contents import contents
from infra.machines.doctor import servers
from infra.machines.doctor.asking import ask
from infra.machines.doctor.findings import Diagnosis, Link, Verdict
from infra.machines.doctor.judging import judge
from infra.machines.firewall_loading import firewall_status, load_firewall
from infra.machines.inventory import Firewall
from infra.machines.programs import Software
from infra.machines.rollout import Rolled
from infra.machines.target import Machines
from streaming.errors import Unavailable
from tests.support.bare_machines import Bare, bare_machines
from tests.support.platform import wait_until

# A machine boots within 10 s of a processor; the first that is ever started has the base image made.
pytestmark = pytest.mark.timeout(900)

PATIENCE_S = 60.0
PORTS = {9092, 9093, 9094, 9095, 9200, 9243, 9400}
TRY = """
import concurrent.futures, json, socket, sys
def tried(port):
    try:
        socket.create_connection((sys.argv[1], port), 1.5).close()
        return port
    except OSError:
        return None
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps([port for port in pool.map(tried, map(int, sys.argv[2:])) if port]))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with bare_machines(tmp_path_factory.mktemp("machines")) as up:
        yield up


@pytest.fixture
def listening(bare: Bare) -> Iterator[Bare]:
    """Something takes connections at every port of interest."""
    ports = sorted(PORTS)
    with bare.listening("producer", ports), bare.listening("consumer", ports):
        yield bare


def reached(bare: Bare, source: str, target: str, ports: set[int]) -> set[int]:
    """Which ports of one machine take a connection from the other."""
    address = str(bare.machines.inventory.machines[target].address)
    command = ["python3", "-c", TRY, address, *map(str, sorted(ports))]
    return set(json.loads(bare.machines.connections.check(source, command)))


def through_forward(port: int) -> bool:
    """Whether what listens behind a forward closes the connection, as it does; a relay that is not let in resets it."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(1.5)
        try:
            return connection.recv(1) == b""
        except OSError:
            return False


def configured(machines: Machines) -> dict[str, Rolled]:
    return {name: rollout.configure(machines, name) for name in machines.inventory.machines}


def test_what_no_arrow_of_the_picture_leads_to_is_closed(listening: Bare) -> None:
    configured(listening.machines)
    assert set(configured(listening.machines).values()) == {Rolled((), ())}
    assert reached(listening, "producer", "consumer", PORTS | {22}) == {9092, 9095, 9243}
    assert reached(listening, "consumer", "producer", PORTS | {22}) == {9092, 9093, 9095}
    # To itself a machine is open, and to the host what has a forward.
    assert reached(listening, "consumer", "consumer", PORTS) == PORTS
    assert [through_forward(port) for port in (19011, 19012, 19212)] == [True, True, True]
    found = firewall_status(listening.machines.connections, "consumer")
    assert (found.as_wanted, found.trial) == (True, False)
    assert found.dropped >= 4
    # At the next boot it is there before the network.
    assert listening.root("producer", "systemctl is-enabled vigil-firewall; systemctl is-active vigil-firewall") == (
        "enabled\nactive\n"
    )
    listening.root("producer", "nft delete table inet vigil; systemctl restart vigil-firewall")
    assert firewall_status(listening.machines.connections, "producer").as_wanted
    # What was changed by hand is mended.
    listening.root("producer", "nft flush ruleset")
    assert reached(listening, "consumer", "producer", PORTS) == PORTS
    assert configured(listening.machines)["producer"] == Rolled(("firewall",), ())
    assert reached(listening, "consumer", "producer", PORTS) == {9092, 9093, 9095}


@pytest.mark.slow
def test_rules_that_would_shut_us_out_go_back(listening: Bare) -> None:
    machines = listening.machines
    configured(machines)
    wanted = contents(machines.inventory, "consumer", machines.deployed())
    text = wanted.files[firewall.FILE].replace(
        "tcp dport { 22 } ip saddr != { 10.77.0.11 }", "tcp dport { 22 } ip saddr { 10.77.0.11 }"
    )
    assert text != wanted.files[firewall.FILE]
    wrong = replace(wanted, files={**wanted.files, firewall.FILE: text})
    machines.administration.configure("consumer", wrong)
    # The second: on a machine so busy that the trial was over before the attempt to come in was.
    said = "consumer lets no new connection in with the new firewall|the time was over, and those of before are back"
    with pytest.raises(Unavailable, match=said):
        load_firewall(machines, "consumer")
    # The connection that brought them stays, and sees the end of the trial.
    wait_until(lambda: not firewall_status(machines.connections, "consumer").trial, PATIENCE_S, "the trial's end")
    machines.connections.close()
    assert not firewall_status(machines.connections, "consumer").as_wanted
    assert reached(listening, "producer", "consumer", PORTS | {22}) == {9092, 9095, 9243}
    # The rules of before are loaded, so only the file is wrong.
    assert configured(machines)["consumer"] == Rolled(("files/firewall.nft",), ())


@pytest.mark.slow
def test_it_is_left_out_where_it_is_not_wanted_or_cannot_be(listening: Bare) -> None:
    machines = listening.machines
    configured(machines)
    without = machines.inventory.machines["producer"].model_copy(update={"firewall": Firewall.NONE})
    tree = machines.inventory.model_copy(update={"machines": {**machines.inventory.machines, "producer": without}})
    changed = rollout.configure(Machines(machines.settings, tree, machines.folder), "producer")
    assert changed.changed == ("files/firewall.nft (removed)", "units/vigil-firewall.service (removed)")
    assert reached(listening, "consumer", "producer", PORTS) == PORTS
    assert "firewall" in configured(machines)["producer"].changed
    listening.root("consumer", "mv /usr/sbin/nft /usr/sbin/nft.away; nft.away flush ruleset; true")
    required = machines.settings.model_copy(update={"machines_firewall": "required"})
    with pytest.raises(Unavailable, match=r"consumer has no nftables.*`firewall: optional`"):
        configured(Machines(required, machines.inventory, machines.folder))
    assert "firewall" not in configured(machines)["consumer"].changed
    listening.root("consumer", "mv /usr/sbin/nft.away /usr/sbin/nft")
    assert "firewall" in configured(machines)["consumer"].changed


def diagnosis(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> Diagnosis:
    # The stand-ins of servers give no answer.
    monkeypatch.setattr(servers, "ANSWERS_S", 0.5)
    return judge(ask(bare.machines, Software.UPLOAD, virtual=False))


def broken(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> str:
    found = diagnosis(bare, monkeypatch).first_broken
    assert found is not None
    return found.sentence


@pytest.mark.slow
def test_the_doctor_names_units_firewalls_and_host_keys(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(bare.machines)
    with bare.standing_in():
        found = diagnosis(bare, monkeypatch)
        # Whatever needs no server is well.
        assert found.first_broken is not None
        assert found.first_broken.link is Link.KAFKA
        bad = (Verdict.FAILED, Verdict.NOT_ASKED)
        assert {one.link for one in found.findings if one.verdict in bad} == {
            *(Link.KAFKA, Link.TOPICS, Link.COPIES, Link.ELASTICSEARCH, Link.LAG),
        }

        bare.machines.manager.stop("indexer")
        assert broken(bare, monkeypatch).startswith("producer: unit indexer is stopped; deploy again")
        bare.machines.manager.start("indexer")

        bare.root("consumer", "nft insert rule inet vigil input tcp dport 9243 drop")
        assert broken(bare, monkeypatch) == (
            "consumer: port 9243 elasticsearch gives no answer to producer: the firewall of consumer is in the way, "
            "whose rules are not those that were deployed; deploy again, which loads them."
        )
        configured(bare.machines)

        known = bare.machines.known_hosts.read_text()
        one, other = known.splitlines()
        swapped = f"{one.split(' ', 1)[0]} {other.split(' ', 1)[1]}\n{other}\n"
        bare.machines.known_hosts.write_text(swapped)
        assert "host key it shows a host key that is not the one pinned" in broken(bare, monkeypatch)
        bare.machines.known_hosts.write_text(known)


@pytest.mark.slow
def test_the_doctor_names_ssh_keys_certificates_and_closed_services(
    bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = bare.machines
    configured(machines)
    with bare.standing_in():
        bare.root("producer", "systemctl stop ssh.socket ssh.service 2>/dev/null; true")
        assert broken(bare, monkeypatch).startswith("producer: SSH the connection is taken and closed again")
        # By the connection that is still there.
        bare.root("producer", "systemctl start ssh.service")

        bare.root("producer", "mv /home/vigil-operator/.ssh/authorized_keys /home/vigil-operator/.ssh/aside")
        assert "producer: login it does not accept our key for vigil-operator" in broken(bare, monkeypatch)
        bare.root("producer", "mv /home/vigil-operator/.ssh/aside /home/vigil-operator/.ssh/authorized_keys")

        bare.root(
            "consumer",
            "nft flush ruleset; nft add table inet other; nft add chain inet other in "
            "'{ type filter hook input priority 0; }'; nft add rule inet other in tcp dport 9092 drop",
        )
        told = diagnosis(bare, monkeypatch)
        assert told.first_broken is not None
        assert "gives no answer to producer: something is in the way, and Vigil has no rules loaded there" in (
            told.first_broken.text
        )
        assert any(one.link is Link.FIREWALL and "is not loaded" in one.text for one in told.findings)
        bare.root("consumer", "nft delete table inet other")
        configured(machines)

        bare.root("consumer", "systemctl kill -s KILL vigil-elasticsearch-proxy; sleep 0.2")
        wait_until(lambda: "restarted 1 times by itself" in shown(bare, monkeypatch), PATIENCE_S, "a restart")

        authority = Authority(machines.folder / "secrets" / "ca", "vigil")
        short = authority.issue("elasticsearch-proxy", ("10.77.0.12", "127.0.0.1"), days=2 / 86400)
        wanted = contents(machines.inventory, "consumer", machines.deployed())
        secrets = {**wanted.secrets, "elasticsearch-proxy.keystore": short.keystore.decode()}
        machines.administration.configure("consumer", replace(wanted, secrets=secrets))
        machines.manager.restart("elasticsearch-proxy")
        wait_until(
            lambda: "TLS 9243 elasticsearch has a certificate that expired" in broken(bare, monkeypatch),
            PATIENCE_S,
            "the certificate's end",
        )
        configured(machines)


def shown(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> str:
    return "\n".join(one.text for one in diagnosis(bare, monkeypatch).findings)
