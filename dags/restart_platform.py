"""Restarts services one after another, each behind its health gate; stops at the first that does not come back."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from airflow.sdk import DAG, Param, TriggerRule
from vigil_airflow.catalogue import services_by_stage, task_name
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.services import RestartServiceOperator

from infra.services import Stage

SERVICES = [service for services in services_by_stage().values() for service in services]
WORKERS = [service for stage in (Stage.WORKERS, Stage.ACCUMULATORS) for service in services_by_stage()[stage]]

with DAG(
    dag_id="restart_platform",
    description=__doc__,
    doc_md="""
### Rolling restart
Restarts the chosen services **one at a time**, in start order, and goes on only when the health gate of each is open
again: after an upgrade of Vigil, a changed setting, or a leak.

* **Nothing is lost and nothing is told twice**: senders wait at their accumulator or keep what they have, Kafka keeps
  what a worker has not read, and a worker goes on where its last commit is.
* **The first failure stops it**: what comes after stays as it was. The red task says why; mend it and *clear* the task,
  and the rest goes on from there.
* Kafka and Elasticsearch are restarted only if they are chosen.
* It refuses to start while the platform is not up, or is being deployed or torn down.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=40),
    deadline=late_after(minutes=30),
    on_failure_callback=on_failure(),
    tags=["vigil", "platform"],
    params={
        "services": Param(
            WORKERS,
            type="array",
            items={"type": "string", "enum": SERVICES},
            minItems=1,
            uniqueItems=True,
            examples=SERVICES,
            title="Services",
            description="Those to restart, in whatever order they are chosen. Workers and accumulators if you change "
            "nothing.",
        ),
        "target": target_param(),
    },
    # A service that does not become healthy fails its task for good; tried again is what Airflow itself lost.
    default_args=task_defaults(minutes=5, retry_after_s=10),
) as restart:
    gate = PlatformGateOperator(task_id="platform_is_up", needs=("kafka",), manual=True, target=TARGET)
    restarts = [
        RestartServiceOperator(
            task_id=task_name("restart", service),
            service=service,
            chosen="{{ params.services }}",
            target=TARGET,
            # One that was not chosen is skipped, and the next goes on; after one that failed none does.
            trigger_rule=TriggerRule.NONE_FAILED,
        )
        for service in SERVICES
    ]
    for before, after in pairwise([gate, *restarts]):
        before >> after
