"""Proves every hour that nothing was lost, and measures how long a log takes to become a document and an alert."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import TARGET, late_after, target_param, task_defaults
from vigil_airflow.operators.audits import AuditPipelineOperator
from vigil_airflow.operators.gate import PlatformGateOperator

from infra.pools import HEAVY

with DAG(
    dag_id="pipeline_audit",
    description=__doc__,
    doc_md="""
### Audit of the pipeline
* **Reconciliation** (`vigil verify --resume`): what accumulators spooled = what Kafka holds = what Elasticsearch has, a
  dead letter, or expired. By partition and offset range; what an earlier audit has proven is left out.
* **Canaries**: five logs and five alerts from an accumulator's socket to the search that finds them, and to the receipt
  of the alert. They page nobody. Their times are the series that the daily report shows.
* **A loss is an incident**, of severity critical, and stays one while the next audits still find it. A canary alert
  that does not arrive is told to Slack directly (connection `vigil_slack`): an incident would not arrive either.
* The **document** is a local file first (`VIGIL_HOME/audits`), then one of index `vigil-audits-*`.
* It skips while the platform is meant to be down, or is being deployed, restarted or torn down. While it is down
  against the last order it fails, says so, and tells Slack.
""",
    schedule="17 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=50),
    deadline=late_after(minutes=45),
    tags=["vigil", "audit"],
    params={"target": target_param()},
    # What an audit finds fails for good; tried again is what Airflow itself lost, as it may while everything starts.
    default_args=task_defaults(minutes=45, retry_after_s=20),
) as pipeline_audit:
    gate = PlatformGateOperator(task_id="platform_is_up", runs_when_down=True, target=TARGET)
    gate >> AuditPipelineOperator(
        task_id="audit_pipeline",
        standing="{{ ti.xcom_pull(task_ids='platform_is_up') }}",
        target=TARGET,
        pool=HEAVY,
    )
