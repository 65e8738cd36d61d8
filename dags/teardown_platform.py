"""Stops the platform's services in the reverse of their start order; Airflow stays, and so does all data."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from airflow.sdk import DAG, BaseOperator, Param, cross_downstream
from vigil_airflow.catalogue import services_by_stage, task_name
from vigil_airflow.operators.intent import RecordIntentOperator
from vigil_airflow.operators.services import StopServiceOperator

from infra.intent import Intent
from infra.targets import TARGETS

TARGET = "{{ params.target }}"

with DAG(
    dag_id="teardown_platform",
    description=__doc__,
    doc_md="""
### Tear the platform down
Stops the services in the reverse of their start order: **microservices**, **accumulators**, **workers**,
**Elasticsearch**, **Kafka**; so each finds what it needs for a clean end (last logs shipped, offsets committed).

* **Data survives**: indices, topics and spools stay on disk, and `deploy_platform` finds them again.
* Airflow and the process supervisor stay up; `vigil down` (or `make down`) stops these too.
* It does not start while `deploy_platform` runs.
* It records that the platform is meant to be down; audits then stay silent.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    tags=["vigil", "platform"],
    params={
        "target": Param(
            TARGETS[0],
            type="string",
            enum=list(TARGETS),
            title="Target",
            description="Where the services run: `local` is this machine, under its process supervisor.",
        )
    },
    # A stop that fails is tried once more: the supervisor may have been busy with another.
    default_args={
        "owner": "vigil",
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=2),
    },
) as teardown:
    record_intent = RecordIntentOperator(
        task_id="record_intent", intent=Intent.DOWN, opposite="deploy_platform", target=TARGET, retries=0
    )

    steps: list[list[BaseOperator]] = [[record_intent]]
    steps += (
        [
            StopServiceOperator(task_id=task_name("stop", service), service=service, target=TARGET)
            for service in services
        ]
        for services in reversed(services_by_stage().values())
    )
    for before, after in pairwise(steps):
        cross_downstream(before, after)
