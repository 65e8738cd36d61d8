"""Holds inventory, registry, beats, logs and incidents of the nodes against each other, every five minutes."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import TARGET, late_after, target_param, task_defaults
from vigil_airflow.operators.audits import AuditNodesOperator
from vigil_airflow.operators.gate import PlatformGateOperator

with DAG(
    dag_id="heartbeat_audit",
    description=__doc__,
    doc_md="""
### Audit of the nodes
The heartbeat monitor notices within seconds that a node fell silent. This audit watches the watcher, by evidence of
its own: the **inventory** of the rule files, the **registry**, the **last beats** in Kafka, the **last logs** in
Elasticsearch, and the **open incidents**.

| finding | what it means |
|---|---|
| silent | no beat for 90 s (or six of its intervals), and nothing explains it |
| zombie | it beats, and has logged nothing for 15 minutes |
| duplicate, skewed, never-seen | two processes under one name; its clock is off; expected and never came |
| unregistered | its beats are in Kafka, and the registry does not know it |
| monitor-dead, monitor-late | the heartbeat monitor itself does not work, or is behind |
| outage | Kafka or Elasticsearch does not answer though the platform is meant to be up |

* Where an incident should tell of it and **none does, one is raised**; it ends when an audit finds it no more.
* The **document** is a local file first (`VIGIL_HOME/audits`), then one of index `vigil-audits-*`.
* **It fails** where Vigil's own alerts cannot tell: Kafka or the alert manager is away. Then it tells Slack itself, by
  the connection `vigil_slack`, once, then every hour in that thread.
* It skips while the platform is meant to be down, or is being deployed, restarted or torn down.
""",
    schedule="*/5 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    deadline=late_after(minutes=8),
    tags=["vigil", "audit"],
    params={"target": target_param()},
    # What an audit finds fails for good; tried again is what Airflow itself lost, as it may while everything starts.
    default_args=task_defaults(minutes=4, retry_after_s=20),
) as heartbeat_audit:
    gate = PlatformGateOperator(task_id="platform_is_up", runs_when_down=True, target=TARGET)
    gate >> AuditNodesOperator(
        task_id="audit_nodes", standing="{{ ti.xcom_pull(task_ids='platform_is_up') }}", target=TARGET
    )
