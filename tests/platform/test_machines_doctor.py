"""The doctor on a whole deployment: what needs real servers, or whole machines, is broken in turn."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from typer.testing import CliRunner

from infra.bringing_up import bring_up
from infra.cli import app
from infra.machines import known
from infra.machines.as_target import target_around
from infra.machines.doctor.asking import ask
from infra.machines.doctor.findings import Diagnosis, Link, Verdict
from infra.machines.doctor.judging import judge
from infra.machines.known import Origin
from infra.machines.programs import Software
from infra.machines.target import Machines
from streaming.kafka import clients, topics
from tests.support.virtualbox import terraform
from tests.support.virtualbox.deployed import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]

PATIENCE_S = 120.0


def diagnosis(machines: Machines) -> Diagnosis:
    return judge(ask(machines, Software.UPLOAD, virtual=True))


def until(machines: Machines, link: Link | None) -> Diagnosis:
    """The diagnosis once that link is the first that is broken; None: once all is well."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = diagnosis(machines)
        if (found.first_broken.link if found.first_broken else None) is link:
            return found
        assert time.monotonic() < deadline, found.first_broken.sentence if found.first_broken else "nothing is broken"
        time.sleep(1.0)


def test_the_doctor_names_what_is_broken_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.deploy()
    machines = place.machines
    assert machines is not None
    known.remember(place.settings, machines.inventory, known.Deployed(Origin.VIRTUALBOX, Software.UPLOAD))
    found = until(machines, None)
    assert {one.verdict for one in found.findings if one.link in (Link.KAFKA, Link.LAG)} <= {Verdict.OK, Verdict.NOTE}
    says_it_on_the_command_line(place, monkeypatch)
    names_a_missing_topic(machines)
    names_a_stopped_broker(machines)
    names_a_machine_that_is_off(machines)
    # Its firewall came with the boot.
    assert "firewall" not in place.deploy()["consumer"].changed
    until(machines, None)
    place.deployment.apply(place.deployment.propose_end())


def says_it_on_the_command_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_HOME", str(place.settings.home))
    done = CliRunner().invoke(app, ["doctor", "--target", "virtualbox"], terminal_width=80)
    assert done.exit_code == 0, done.output
    assert "Every link works." in done.output
    other = CliRunner().invoke(app, ["doctor", "--target", "inventory"])
    assert "was deployed with the target virtualbox" in str(other.exception)


def names_a_missing_topic(machines: Machines) -> None:
    settings = machines.client_settings()
    gone = settings.topic(topics.DELIVERY_ATTEMPTS)
    admin = clients.admin(settings.kafka)  # answers come while the client lives
    admin.delete_topics([gone])[gone].result(30)
    found = until(machines, Link.TOPICS)
    assert found.first_broken is not None
    assert found.first_broken.sentence == f"topics are missing: {gone}; deploy again, which makes them."
    bring_up(target_around(machines), lambda _: None)
    until(machines, None)


def names_a_stopped_broker(machines: Machines) -> None:
    machines.manager.stop("kafka@consumer")
    found = until(machines, Link.UNIT)
    assert found.first_broken is not None
    assert found.first_broken.where == "consumer: unit kafka"
    by_link = {one.link: one for one in found.findings if not one.machine}
    assert by_link[Link.KAFKA].text == "lacks consumer of 2 brokers, because of consumer: unit kafka"
    assert by_link[Link.COPIES].verdict is Verdict.NOTE
    machines.manager.start("kafka@consumer")
    until(machines, None)


def names_a_machine_that_is_off(machines: Machines) -> None:
    program = os.environ["VIGIL_VBOXMANAGE"]
    subprocess.run([program, "controlvm", "vigil-consumer", "poweroff"], check=True, capture_output=True)
    found = until(machines, Link.VIRTUAL_MACHINE)
    assert found.first_broken is not None
    assert found.first_broken.sentence.startswith("consumer: machine vigil-consumer does not run (poweroff); ")
    others = [one for one in found.findings if one.machine == "consumer" and one is not found.first_broken]
    assert {one.verdict for one in others} == {Verdict.NOT_ASKED}
