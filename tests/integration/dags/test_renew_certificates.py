"""`renew_certificates` from beginning to end, over a deployment to machines that are kept in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.machines import known
from infra.machines.certificates import LEAF_DAYS
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag
from tests.support.simulated_rotation import KnownMachines, open_gates


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No server is needed."""
    return Settings(home=tmp_path / "home")


def test_it_skips_where_there_are_no_machines_and_renews_what_is_due_where_there_are(
    run_dag: RunDag, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_dag("renew_certificates").tasks == {"renew_certificates": "skipped"}
    assert "no deployment to machines" in capsys.readouterr().out

    open_gates(monkeypatch)
    deployment = KnownMachines(settings)
    monkeypatch.setattr(known, "machines", deployment.machines)
    deployment.days = LEAF_DAYS * 2 / 3 + 1
    found = run_dag("renew_certificates").returned["renew_certificates"]
    leaves = ["kafka@producer", "kafka@consumer", "elasticsearch-proxy@consumer", "indexer@producer"]
    assert found == {"vigil": {"renewed": [*leaves, "control"], "restarted": leaves}}
    assert deployment.world.settled(deployment.machines())
