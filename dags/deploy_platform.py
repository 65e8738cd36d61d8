"""Makes machines where that is wanted, starts the platform in order, then sends a log and an alert through it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from airflow.sdk import DAG, BaseOperator, chain, cross_downstream
from vigil_airflow.catalogue import services_by_stage, task_name
from vigil_airflow.dag_defaults import CHOSEN_TARGET, choice_params, late_after, on_failure
from vigil_airflow.machine_params import machine_params
from vigil_airflow.operators.canary import CanaryAlertOperator, CanaryLogOperator
from vigil_airflow.operators.choice import ChooseTargetOperator
from vigil_airflow.operators.intent import RecordIntentOperator
from vigil_airflow.operators.machines import (
    AwaitFirstBootOperator,
    ConfigureMachinesOperator,
    ImportKibanaObjectsOperator,
    IndexAgainOperator,
    InstallSoftwareOperator,
    ReachMachinesOperator,
    RestoreKafkaOperator,
    ShowLinksOperator,
    TakeInventoryOperator,
)
from vigil_airflow.operators.schema import CreateTopicsOperator, InstallIndexTemplatesOperator
from vigil_airflow.operators.services import StartServiceOperator
from vigil_airflow.operators.virtualbox import (
    ApplyPlanOperator,
    ApprovePlanOperator,
    CheckHostOperator,
    PlanMachinesOperator,
)

from infra.intent import Intent
from infra.services import Stage
from infra.targets import Kind

DEPLOYMENT, SOFTWARE = "{{ params.deployment }}", "{{ params.software }}"

with DAG(
    dag_id="deploy_platform",
    description=__doc__,
    doc_md="""
### Deploy the platform
Starts every service in order and waits for the health gate of each: **Kafka**, then **Elasticsearch** (on machines its
TLS proxy and Kibana), then topics and index templates, then the **workers** (indexer, matcher, manager, notifier,
heartbeat monitor), then the **accumulators**, then the example **microservices**, then their **customers** (the load
generator). At the end a **canary** log must be found in Elasticsearch and a canary alert must have been delivered; both
travel the whole way, from an accumulator's socket on.

| target | before the services |
|---|---|
| `local` | nothing: they run on this machine |
| `virtualbox` | a check of the host, a **plan**, your **approval** of it; Terraform makes the machines |
| `inventory` | the inventory file is read |

A plan waits under *Required Actions* for an hour. Machines are then reached, and get software, secrets, certificates
and configuration.

* **Again is harmless, and repairs.** What is healthy stays as it is; what is missing is made or started; a service
  restarts only where what it reads was changed; what runs but stays unhealthy is restarted once. Fields of the form
  that you leave empty are as the last time.
* **A red task says why**: the gate's last answer, the service manager's word, the last lines of the service's log and
  where that log is. Mend it, then *clear* the task: the run goes on from there.
* It does not start while `teardown_platform` runs.
* It records that the platform is meant to be up; audits then treat its absence as an outage. Scheduled DAGs look after
  the platform that was deployed last.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    # An hour for whoever approves, and one for images and packages that come by a slow line.
    dagrun_timeout=timedelta(hours=3),
    deadline=late_after(minutes=15),
    on_failure_callback=on_failure(),
    tags=["vigil", "platform"],
    params=choice_params() | machine_params(),
    default_args={
        "owner": "vigil",
        # A service that does not become healthy fails its task for good: the supervisor has tried its start several
        # times. What is tried again here is a task that Airflow itself lost (3.3.2 takes a deferred task whose
        # trigger fires early for one that was ended from outside), and a server that has only just begun to answer.
        "retries": 1,
        "retry_delay": timedelta(seconds=2),
        "execution_timeout": timedelta(minutes=5),
        # What a target does not have is skipped, and stops nothing.
        "trigger_rule": "none_failed",
    },
) as deploy:
    make = [
        CheckHostOperator(task_id="check_host", deployment=DEPLOYMENT),
        PlanMachinesOperator(task_id="plan", deployment=DEPLOYMENT),
        ApprovePlanOperator(
            task_id="approve",
            plan_task="plan",
            ask="{{ params.approval }}",
            response_timeout=timedelta(hours=1),
            execution_timeout=None,
        ),
        ApplyPlanOperator(
            task_id="apply",
            plan_task="plan",
            deployment=DEPLOYMENT,
            software=SOFTWARE,
            # A plan is applied once; what failed is planned anew.
            retries=0,
            execution_timeout=timedelta(hours=1),
        ),
    ]
    take = TakeInventoryOperator(
        task_id="take_inventory", file="{{ params.inventory or '' }}", deployment=DEPLOYMENT, software=SOFTWARE
    )
    prepare = [
        ReachMachinesOperator(task_id="reach_machines", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=15)),
        AwaitFirstBootOperator(
            task_id="await_first_boot", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=20)
        ),
        InstallSoftwareOperator(
            task_id="install_software", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=45)
        ),
        ConfigureMachinesOperator(
            task_id="configure_machines", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=15)
        ),
    ]
    mend = [
        RestoreKafkaOperator(task_id="restore_kafka", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=30)),
        IndexAgainOperator(task_id="index_again", target=CHOSEN_TARGET),
        ImportKibanaObjectsOperator(
            task_id="import_kibana_objects", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=10)
        ),
    ]
    show_links = ShowLinksOperator(task_id="show_links", target=CHOSEN_TARGET)
    start = {
        stage: [
            StartServiceOperator(task_id=task_name("start", service), service=service, target=CHOSEN_TARGET)
            for service in services
        ]
        for stage, services in services_by_stage(of_machines=True).items()
    }
    of_machines: list[BaseOperator] = [*prepare, *start[Stage.ACCESS], *mend, show_links]

    def ids(tasks: Sequence[BaseOperator]) -> list[str]:
        """Of tasks that a target does not have."""
        return [task.task_id for task in tasks]

    choose_target = ChooseTargetOperator(
        task_id="choose_target",
        target=CHOSEN_TARGET,
        skips={Kind.LOCAL: ids([*make, take, *of_machines]), Kind.VIRTUALBOX: ids([take]), Kind.INVENTORY: ids(make)},
    )
    record_intent = RecordIntentOperator(task_id="record_intent", intent=Intent.UP, target=CHOSEN_TARGET)
    contracts = [
        CreateTopicsOperator(task_id="create_topics", target=CHOSEN_TARGET),
        InstallIndexTemplatesOperator(task_id="install_index_templates", target=CHOSEN_TARGET),
    ]
    canaries = [
        CanaryLogOperator(task_id="canary_log", target=CHOSEN_TARGET),
        CanaryAlertOperator(task_id="canary_alert", target=CHOSEN_TARGET),
    ]

    # No task groups: the UI shows them folded, and this graph is there to be watched.
    every_target: list[Sequence[BaseOperator]] = [
        [choose_target],
        [record_intent],
        start[Stage.KAFKA],
        start[Stage.ELASTICSEARCH],
        contracts,
        start[Stage.WORKERS],
        start[Stage.ACCUMULATORS],
        start[Stage.MICROSERVICES],
        start[Stage.CUSTOMERS],
        canaries,
    ]
    for before, after in pairwise(every_target):
        cross_downstream(before, after)
    # What machines have in between; where it is skipped, the steps around it still follow each other by the above.
    for before, between, after in (
        ([choose_target], make, [record_intent]),
        ([choose_target], [take], [record_intent]),
        ([record_intent], prepare, start[Stage.KAFKA]),
        (contracts, mend, start[Stage.WORKERS]),
    ):
        cross_downstream(before, between[:1])
        chain(*between)
        cross_downstream(between[-1:], after)
    cross_downstream(start[Stage.ELASTICSEARCH], start[Stage.ACCESS])
    cross_downstream(start[Stage.ACCESS], contracts)
    cross_downstream(canaries, [show_links])
