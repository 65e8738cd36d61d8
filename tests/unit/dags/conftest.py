"""Airflow for tests: a home of its own, set before anything imports Airflow, which reads it at import."""

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

import warnings

import pytest
from airflow.dag_processing.dagbag import DagBag

from streaming.settings import CHECKOUT


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """All DAG files, read with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return DagBag(dag_folder=CHECKOUT / "dags")
