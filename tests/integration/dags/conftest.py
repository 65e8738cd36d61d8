"""DAGs run from beginning to end in this process (`dag.test()`), on the session's real Kafka and Elasticsearch."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

if "vigil-test-airflow-" not in os.environ.get("AIRFLOW_HOME", ""):
    assert "airflow" not in sys.modules, "Airflow was imported before its home was set"
    home = tempfile.mkdtemp(prefix="vigil-test-airflow-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

from pathlib import Path

# `dag.test()` reads all of these before each run.
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[3] / "dags")

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from airflow import settings as airflow_settings
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from vigil_airflow import hooks
from vigil_airflow.triggers import settling

from infra.intent import Intent, Order, record_order
from streaming.elastic.ensure import ensure_templates
from streaming.kafka.admin import ensure_topics
from streaming.settings import CHECKOUT, Settings

# Read when Airflow is imported, which tests of another folder may have done before.
airflow_settings.DAGS_FOLDER = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]


@dataclass(frozen=True)
class Ran:
    """What came of a run: its state, that of each task, and what each returned."""

    state: str
    tasks: dict[str, str]
    returned: dict[str, Any]


RunDag = Callable[..., Ran]
"""`run_dag(dag_id, conf={}, approved="regex")`: runs a DAG of `dags/`. Human-in-the-loop tasks whose id the regular
expression matches are taken for answered: no person answers here."""


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables, in the home of these tests."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def meant_up(settings: Settings) -> None:
    """The platform of this test is meant to be up, with its topics and index templates."""
    record_order(settings.home, Order(intent=Intent.UP, since_ms=1, by="deploy_platform of a test"))
    ensure_topics(settings)
    ensure_templates(settings)


@pytest.fixture
def run_dag(airflow_database: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunDag:
    """See `RunDag`. The tasks see this test's settings."""
    monkeypatch.setattr(hooks, "load_settings", lambda: settings)
    monkeypatch.setattr(settling, "SETTLE_S", 0.0)  # no process is to end first here

    def run(dag_id: str, conf: dict[str, object] | None = None, approved: str | None = None) -> Ran:
        bag = DagBag(dag_folder=CHECKOUT / "dags" / f"{dag_id}.py")
        assert bag.import_errors == {}
        dag = bag.dags[dag_id]
        assert isinstance(dag, DAG)
        dag.deadline = None  # `dag.test()` of 3.3.2 ends with an error where there is one (apache/airflow#73428)
        for task in dag.tasks:
            task.retries = 0  # a failure is to be seen at once
        found = dag.test(run_conf=conf or {}, mark_success_pattern=approved)
        tasks = found.get_task_instances()
        return Ran(
            str(found.state),
            {ti.task_id: str(ti.state) for ti in tasks},
            {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in tasks},
        )

    return run
