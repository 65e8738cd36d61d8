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
