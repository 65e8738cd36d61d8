"""Registers Vigil with Airflow, which imports this file in every process: it must cost next to nothing."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from vigil_airflow import listeners


class VigilPlugin(AirflowPlugin):
    """Failures of tasks and runs go to Vigil's own pipeline, and Airflow's components beat as nodes."""

    name = "vigil"
    listeners = [listeners]  # noqa: RUF012 -- as Airflow declares it
