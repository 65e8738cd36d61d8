"""`AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=vigil_airflow.task_logs.config.LOGGING_CONFIG`: Airflow's own logging, and
task logs in Elasticsearch besides. Imported by every process of Airflow, so it imports next to nothing."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from airflow.config_templates.airflow_local_settings import BASE_LOG_FOLDER, DEFAULT_LOGGING_CONFIG

from vigil_airflow.task_logs.remote import ElasticTaskLogs

LOGGING_CONFIG = deepcopy(DEFAULT_LOGGING_CONFIG)

REMOTE_TASK_LOG = ElasticTaskLogs(Path(BASE_LOG_FOLDER))
"""Airflow finds it by this name, beside the dictionary."""
