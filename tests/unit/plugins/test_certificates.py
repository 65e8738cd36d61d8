"""The daily renewal of certificates, as a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from vigil_airflow import hooks
from vigil_airflow.operators import certificates
from vigil_airflow.operators.certificates import CertificatesNotRenewed, RenewCertificatesOperator

from infra.machines import known
from infra.machines.certificates import LEAF_DAYS
from streaming.settings import Settings
from tests.support.simulated_rotation import KnownMachines, open_gates

CONTEXT: Any = {}
"""The operator asks it for other runs alone, which a test tells it of."""

NOTHING: dict[str, dict[str, list[str]]] = {"vigil": {"renewed": [], "restarted": []}}


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownMachines:
    settings = Settings(home=tmp_path)
    open_gates(monkeypatch)
    monkeypatch.setattr(hooks, "load_settings", lambda: settings)
    monkeypatch.setattr(certificates, "changing", lambda _: [])
    made = KnownMachines(settings)
    monkeypatch.setattr(known, "machines", made.machines)
    return made


def renew(within_days: str = "None") -> dict[str, dict[str, list[str]]]:
    return RenewCertificatesOperator(task_id="t", within_days=within_days).execute(CONTEXT)


def test_what_is_not_due_is_left_and_no_machine_is_asked(
    deployment: KnownMachines, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = deployment.world.calls
    assert renew() == NOTHING
    assert deployment.world.calls == calls
    assert "vigil: kafka@producer is good, 90 days" in capsys.readouterr().out
    assert len(renew(str(LEAF_DAYS + 1))["vigil"]["renewed"]) == 5


def test_a_failure_names_the_deployment_keeps_none_from_its_turn_and_the_next_run_finishes(
    deployment: KnownMachines, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.days = LEAF_DAYS * 2 / 3 + 1
    deployment.world.fail_at = deployment.world.calls + 5
    monkeypatch.setattr(known, "names", lambda _: ("vigil", "vigil"))
    with pytest.raises(CertificatesNotRenewed, match="vigil: as asked for"):
        renew()
    assert deployment.world.settled(deployment.machines()), "its second turn has finished it"
    assert renew() == NOTHING


def test_it_leaves_alone_what_is_being_deployed(deployment: KnownMachines, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.days = LEAF_DAYS + 1
    monkeypatch.setattr(certificates, "changing", lambda _: ["deploy_platform"])
    calls = deployment.world.calls
    with pytest.raises(AirflowSkipException, match="deploy_platform is running"):
        renew()
    assert deployment.world.calls == calls


def test_it_skips_where_there_are_no_machines(deployment: KnownMachines, monkeypatch: pytest.MonkeyPatch) -> None:
    known.forget(deployment.settings, "vigil")
    with pytest.raises(AirflowSkipException, match="no deployment to machines"):
        renew()
