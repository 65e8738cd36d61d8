"""`vigil machines rotate`, `renew` and `certificates`, over a deployment in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.machines import known
from infra.machines.certificates import LEAF_DAYS
from infra.machines.known import Deployed, Origin
from infra.machines.programs import Software
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support.inventories import inventory
from tests.support.simulated_rotation import KnownMachines, open_gates


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownMachines:
    settings = Settings(home=tmp_path)
    open_gates(monkeypatch)
    monkeypatch.setattr("streaming.settings.load_settings", lambda: settings)
    made = KnownMachines(settings)
    monkeypatch.setattr(known, "machines", made.machines)
    return made


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["machines", *arguments], input=answer)


def test_it_says_what_it_will_do_and_asks(deployment: KnownMachines) -> None:
    before = dict(deployment.world.kafka)
    asked = run("rotate", "password:matcher", "ssh-key", answer="n\n")
    assert asked.exit_code == 1
    assert "matcher: another password at Kafka; restarts matcher@consumer, matcher@producer" in asked.output
    assert "the SSH key" in asked.output
    assert deployment.world.kafka == before

    done = run("rotate", "password:matcher", answer="y\n")
    assert done.exit_code == 0
    assert done.stdout.endswith("vigil: done; 2 restarts\n")
    assert deployment.world.kafka["matcher"] != before["matcher"]


def test_it_tells_programs_what_was_done(deployment: KnownMachines) -> None:
    done = run("rotate", "cluster", "--yes", "--json")
    told = json.loads(done.stdout)
    assert told["deployment"] == "vigil"
    assert told["rotated"]["certificates"] == ["kafka@producer", "kafka@consumer"]
    assert told["restarted"] == ["kafka@producer", "kafka@consumer"]
    assert "kafka@producer is restarted" in done.stderr


def test_certificates_are_listed_and_renewed_when_they_are_due(deployment: KnownMachines) -> None:
    listed = run("certificates", "--json")
    assert listed.exit_code == 0
    first, second, *_ = map(json.loads, listed.stdout.splitlines())
    assert (first["name"], first["machine"], first["state"]) == ("authority", None, "good")
    assert (second["name"], second["subject"], second["machine"]) == ("kafka@producer", "CN=kafka", "producer")
    assert second["days_left"] == pytest.approx(LEAF_DAYS, abs=0.1)
    assert run("renew").stdout == "vigil: no certificate is due\n"

    deployment.days = LEAF_DAYS * 2 / 3 + 1
    listed = run("certificates")
    assert listed.exit_code == 1
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["good", *["due"] * 5]
    assert run("renew").exit_code == 0
    assert run("certificates").exit_code == 0
    assert run("renew", "--within", "91", "--json").exit_code == 0
    assert deployment.world.settled(deployment.machines())


def test_which_deployment_is_asked_where_there_are_several(deployment: KnownMachines) -> None:
    with pytest.raises(ConfigError, match=r"there is no such thing to rotate 'tokens'.*There are: all, passwords"):
        run_or_raise("rotate", "tokens")
    other = inventory().model_copy(update={"deployment": "lab"})
    known.remember(deployment.settings, other, Deployed(Origin.INVENTORY, Software.UPLOAD))
    with pytest.raises(ConfigError, match=r"which deployment.*There are: lab, vigil"):
        run_or_raise("renew")
    assert run("renew", "-d", "vigil").exit_code == 0
    with pytest.raises(ConfigError, match=r"no deployment 'x'.*There is: lab, vigil"):
        run_or_raise("renew", "-d", "x")
    for name in ("lab", "vigil"):
        known.forget(deployment.settings, name)
    with pytest.raises(ConfigError, match="no deployment to machines"):
        run_or_raise("certificates")


def run_or_raise(*arguments: str) -> None:
    found = run(*arguments)
    if found.exception is not None:
        raise found.exception


@pytest.mark.parametrize("command", ["rotate", "renew", "certificates"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: vigil machines {command}" in run(command, "--help").output
