"""Starts the platform in order, each service behind its health gate, then sends a log and an alert through it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from airflow.sdk import DAG, BaseOperator, Param, cross_downstream
from vigil_airflow.catalogue import services_by_stage, task_name
from vigil_airflow.operators.canary import CanaryAlertOperator, CanaryLogOperator
from vigil_airflow.operators.intent import RecordIntentOperator
from vigil_airflow.operators.schema import CreateTopicsOperator, InstallIndexTemplatesOperator
from vigil_airflow.operators.services import StartServiceOperator

from infra.intent import Intent
from infra.services import Stage
from infra.targets import TARGETS

TARGET = "{{ params.target }}"

with DAG(
    dag_id="deploy_platform",
    description=__doc__,
    doc_md="""
### Deploy the platform
Starts every service in order and waits for the health gate of each: **Kafka**, then **Elasticsearch**, then topics
and index templates, then the **workers** (indexer, matcher, manager, notifier, heartbeat monitor), then the
**accumulators**, then the example **microservices**. At the end a **canary** log must be found in Elasticsearch and a
canary alert must have been delivered; both travel the whole way, from an accumulator's socket on.

* **Again is harmless.** What is healthy stays as it is; what is missing is started; what runs but stays unhealthy is
  restarted once. With everything healthy, a run changes nothing.
* **A red task says why**: the gate's last answer, the supervisor's word, the last lines of the service's log and where
  that log is. Mend it, then *clear* the task: the run goes on from there.
* It does not start while `teardown_platform` runs.
* It records that the platform is meant to be up; audits then treat its absence as an outage.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=20),
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
    default_args={
        "owner": "vigil",
        # A service that does not become healthy fails its task for good: the supervisor has tried its start several
        # times. What is tried again here is a task that Airflow itself lost (3.3.2 takes a deferred task whose
        # trigger fires early for one that was ended from outside), and a server that has only just begun to answer.
        "retries": 1,
        "retry_delay": timedelta(seconds=2),
        "execution_timeout": timedelta(minutes=5),
    },
) as deploy:
    record_intent = RecordIntentOperator(
        task_id="record_intent", intent=Intent.UP, opposite="teardown_platform", target=TARGET
    )

    contracts = [
        CreateTopicsOperator(task_id="create_topics", target=TARGET),
        InstallIndexTemplatesOperator(task_id="install_index_templates", target=TARGET),
    ]
    canaries = [
        CanaryLogOperator(task_id="canary_log", target=TARGET),
        CanaryAlertOperator(task_id="canary_alert", target=TARGET),
    ]
    start = {
        stage: [
            StartServiceOperator(task_id=task_name("start", service), service=service, target=TARGET)
            for service in services
        ]
        for stage, services in services_by_stage().items()
    }

    # No task groups: the UI shows them folded, and this graph is there to be watched.
    steps: list[Sequence[BaseOperator]] = [
        [record_intent],
        start[Stage.KAFKA],
        start[Stage.ELASTICSEARCH],
        contracts,
        start[Stage.WORKERS],
        start[Stage.ACCUMULATORS],
        start[Stage.MICROSERVICES],
        canaries,
    ]
    for before, after in pairwise(steps):
        cross_downstream(before, after)
