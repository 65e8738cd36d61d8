"""Registers Vigil with Airflow, which imports this file in every process: it must cost next to nothing."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from vigil_airflow import listeners
from vigil_airflow.one_writer import OneWriter


class VigilPlugin(AirflowPlugin):
    """Failures of tasks and runs go to Vigil's own pipeline, Airflow's components beat as nodes, and its API server
    does not stand in its own way."""

    name = "vigil"
    listeners = [listeners]  # noqa: RUF012 -- as Airflow declares it
    fastapi_root_middlewares = [{"name": "one writer", "middleware": OneWriter}]  # noqa: RUF012
