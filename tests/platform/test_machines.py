"""The platform on two machines: Terraform, VirtualBox as emulated, real Debian machines, real servers and workers."""

from __future__ import annotations

import pytest

from infra.machines import rollout
from infra.service_manager import RunState
from streaming.canary import await_document, await_receipt, send_canary
from streaming.events.model import Level
from tests.support.virtualbox import terraform
from tests.support.virtualbox.deployed import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]


def test_a_log_of_one_machine_becomes_an_alert_of_the_other(place: Place) -> None:
    rolled = place.deploy()
    assert all("units/vigil-kafka.service" in one.changed for one in rolled.values())
    machines = place.machines
    assert machines is not None
    assert {status.state for status in machines.manager.all()} == {RunState.RUNNING}
    assert "kibana" not in machines.manager.services  # comes with packages alone

    with machines.connections.forward("producer", place.settings.accumulator1_port) as port:
        settings = machines.client_settings().model_copy(update={"accumulator1_port": port})
        await_document(settings, send_canary(settings, Level.INFO), 60)
        hops = await_receipt(settings, send_canary(settings, Level.ERROR), 60)
    assert list(hops)[-1] == "notification-receipts"

    # Again changes nothing and restarts nothing.
    before = place.started()
    assert set(place.deploy().values()) == {rollout.Rolled((), ())}
    assert place.deployment.propose(place.wanted).is_empty
    assert place.started() == before

    # No secret is where others look.
    hidden = machines.store.values()
    looked = [place.deployment.folder / "terraform.tfstate", place.deployment.folder / "terraform.tfvars.json"]
    looked += list(place.deployment.folder.rglob("serial.log*"))
    shown = "\n".join([*place.said, *(file.read_text(errors="replace") for file in looked)])
    for name in machines.inventory.machines:
        shown += machines.connections.run(name, ["sh", "-c", "cat /proc/*/cmdline 2>/dev/null"]).text
        shown += "\n".join(machines.manager.logs("kafka", 1000))
    assert not [value for value in hidden if value in shown]

    place.deployment.apply(place.deployment.propose_end())
    place.box.assert_empty()
