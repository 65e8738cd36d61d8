"""Keeps a backup of what lives only in Kafka, every hour."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.backup import BackUpOperator
from vigil_airflow.operators.gate import PlatformGateOperator

with DAG(
    dag_id="back_up",
    description=__doc__,
    doc_md="""
### Back up
Incidents, silences, rules and what they remember, nodes, templates, dead letters: what lives only in Kafka is written
to a file on this host, in the folder `backups` of the platform's home (`<VIGIL_HOME>/backups`, of machines
`<VIGIL_HOME>/machines/<name>/backups`). The platform runs meanwhile.

* **Kept**: the 24 newest, and the last one of each of 14 days.
* **Used** by a deployment to machines whose Kafka has lost its controller with its disk, and by `vigil restore`.
* It skips while the platform is not up.
""",
    schedule="25 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=40),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=30),
    tags=["vigil", "backup"],
    params={"target": target_param()},
    default_args=task_defaults(minutes=25),
) as back_up:
    gate = PlatformGateOperator(task_id="platform_is_up", target=TARGET)
    gate >> BackUpOperator(task_id="back_up", target=TARGET)
