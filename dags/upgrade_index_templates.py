"""Brings Elasticsearch's index templates and the mappings of existing indices to what this version declares."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.schema import InstallIndexTemplatesOperator

from infra.pools import INDICES

with DAG(
    dag_id="upgrade_index_templates",
    description=__doc__,
    doc_md="""
### Upgrade the index templates
Run it after an upgrade of Vigil on a platform that stays up (`deploy_platform` does the same at its start).

* **Templates** that are missing or differ from what this version declares are written; new indices follow them.
* **Existing indices** get the fields that they lack. The type of a field cannot be changed in place: the task's log
  names each such index. `vigil reindex` makes it anew from Kafka, and puts it in force in one step.
* **Again is harmless**: where all is as declared, nothing is changed.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=15),
    deadline=late_after(minutes=10),
    on_failure_callback=on_failure(),
    tags=["vigil", "indices"],
    params={"target": target_param()},
    default_args=task_defaults(minutes=5),
) as upgrade:
    PlatformGateOperator(
        task_id="platform_is_up", needs=("elasticsearch",), manual=True, target=TARGET
    ) >> InstallIndexTemplatesOperator(task_id="install_index_templates", target=TARGET, pool=INDICES)
