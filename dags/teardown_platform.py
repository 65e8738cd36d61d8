"""Stops the services in the reverse of their start order; machines of VirtualBox are destroyed, where approved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from airflow.sdk import DAG, BaseOperator, Param, chain, cross_downstream
from vigil_airflow.catalogue import services_by_stage, task_name
from vigil_airflow.dag_defaults import CHOSEN_TARGET, choice_params, late_after, on_failure
from vigil_airflow.operators.choice import ChooseTargetOperator
from vigil_airflow.operators.intent import RecordIntentOperator
from vigil_airflow.operators.machines import DrainOperator, ExportIndicesOperator
from vigil_airflow.operators.services import StopServiceOperator
from vigil_airflow.operators.virtualbox import ApprovePlanOperator, DestroyMachinesOperator, PlanEndOperator

from infra.intent import Intent
from infra.services import Stage
from infra.targets import Kind

DEPLOYMENT = "{{ params.deployment }}"

with DAG(
    dag_id="teardown_platform",
    description=__doc__,
    doc_md="""
### Tear the platform down
Stops the services in the reverse of their start order: **customers**, **microservices**, **accumulators**, **workers**,
**Elasticsearch**, **Kafka**; so each finds what it needs for a clean end (last logs shipped, offsets committed).

| target | afterwards |
|---|---|
| `local` | data survives, and `deploy_platform` finds it again; Airflow and the supervisor stay up |
| `virtualbox` | machines, disks, network, forwards and keys are **destroyed** |
| `inventory` | machines stay as they are, with all data |

For `virtualbox` a plan names what is lost, and waits for your **approval** first, under *Required Actions*.
Accumulators then take nothing more, and what is in Kafka is read to its end before the workers stop. Tick *Export* to
keep all documents as files.

* It does not start while `deploy_platform` runs.
* Where machines are lost or cannot be reached, untick *In order*: what is left is destroyed as it is.
* It records that the platform is meant to be down; audits then stay silent.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    # An hour for whoever approves, and one to drain and to export.
    dagrun_timeout=timedelta(hours=2, minutes=30),
    deadline=late_after(minutes=8),
    on_failure_callback=on_failure(),
    tags=["vigil", "platform"],
    params=choice_params()
    | {
        "approval": Param(
            True,
            type="boolean",
            title="Ask for approval",
            description="A person sees what is lost and approves it before anything is stopped or destroyed.",
            section="Machines",
        ),
        "in_order": Param(
            True,
            type="boolean",
            title="In order",
            description="Services are stopped one after the other, and what is in Kafka is read first. Unticked: "
            "machines are destroyed at once, with all that is on them.",
            section="Machines",
        ),
        "export": Param(
            False,
            type="boolean",
            title="Export all documents",
            description="To files on this host, one an index, before Elasticsearch is stopped.",
            section="Machines",
        ),
    },
    # A stop that fails is tried once more: the supervisor may have been busy with another.
    default_args={
        "owner": "vigil",
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=2),
        # What a target does not have is skipped, and stops nothing.
        "trigger_rule": "none_failed",
    },
) as teardown:
    plan = PlanEndOperator(task_id="plan", deployment=DEPLOYMENT)
    approve = ApprovePlanOperator(
        task_id="approve",
        plan_task="plan",
        ask="{{ params.approval }}",
        response_timeout=timedelta(hours=1),
        execution_timeout=None,
    )
    drain = DrainOperator(task_id="drain", target=CHOSEN_TARGET, execution_timeout=timedelta(minutes=10))
    export = ExportIndicesOperator(
        task_id="export_indices",
        wanted="{{ params.export }}",
        target=CHOSEN_TARGET,
        execution_timeout=timedelta(hours=1),
    )
    destroy = DestroyMachinesOperator(
        task_id="destroy_machines",
        plan_task="plan",
        deployment=DEPLOYMENT,
        retries=0,
        execution_timeout=timedelta(minutes=20),
    )
    record_intent = RecordIntentOperator(task_id="record_intent", intent=Intent.DOWN, target=CHOSEN_TARGET, retries=0)
    stop = {
        stage: [
            StopServiceOperator(task_id=task_name("stop", service), service=service, target=CHOSEN_TARGET)
            for service in services
        ]
        for stage, services in services_by_stage(of_machines=True).items()
    }

    def ids(*tasks: BaseOperator) -> list[str]:
        """Of tasks that a target does not have."""
        return [task.task_id for task in tasks]

    of_virtualbox = ids(plan, approve, destroy)
    orderly = ids(*(task for tasks in stop.values() for task in tasks), drain, export)
    choose_target = ChooseTargetOperator(
        task_id="choose_target",
        target=CHOSEN_TARGET,
        skips={
            Kind.LOCAL: [*of_virtualbox, *ids(drain, export, *stop[Stage.ACCESS])],
            Kind.INVENTORY: of_virtualbox,
        },
        at_once="{{ not params.in_order }}",
        skips_at_once={Kind.VIRTUALBOX: orderly},
    )

    every_target: list[Sequence[BaseOperator]] = [
        [choose_target],
        [record_intent],
        stop[Stage.CUSTOMERS],
        stop[Stage.MICROSERVICES],
        stop[Stage.ACCUMULATORS],
        stop[Stage.WORKERS],
        stop[Stage.ELASTICSEARCH],
        stop[Stage.KAFKA],
    ]
    for before, after in pairwise(every_target):
        cross_downstream(before, after)
    # What machines have in between.
    chain(choose_target, plan, approve, record_intent)
    cross_downstream(stop[Stage.ACCUMULATORS], [drain])
    drain >> export
    cross_downstream([export], stop[Stage.WORKERS])
    cross_downstream(stop[Stage.WORKERS], stop[Stage.ACCESS])
    cross_downstream(stop[Stage.ACCESS], stop[Stage.ELASTICSEARCH])
    # Also where all between is skipped, nothing is destroyed before it was approved.
    cross_downstream([approve, record_intent, *stop[Stage.KAFKA]], [destroy])
