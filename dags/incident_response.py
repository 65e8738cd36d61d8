"""Attaches what is known around each new critical incident, and asks a person what to do about it."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, task_group
from vigil_airflow.catalogue import services_by_stage
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.incident_response import (
    CarryOutChoiceOperator,
    FindIncidentsOperator,
    GatherContextOperator,
)
from vigil_airflow.triggers.wakeup import IncidentOpenedTrigger

from infra.response import Choice

SERVICES = [name for names in services_by_stage().values() for name in names]

critical_incidents = Asset(
    "vigil_critical_incidents",
    watchers=[AssetWatcher(name="critical_incident_opened", trigger=IncidentOpenedTrigger())],
)

with DAG(
    dag_id="incident_response",
    description=__doc__,
    doc_md="""
### Response to critical incidents
Woken within seconds when a critical incident opens, and every ten minutes for what was missed. A run that finds
nothing ends at once.

1. **find_incidents**: open critical incidents (told, not muted, no canary) without a context note, ten at most. Each
   gets its note once, whichever run comes first.
2. **gather**: the last logs of its service and node, logs of its trace, deployments and starts of services, nodes,
   other open incidents, the run book. The note goes into the incident's history and, as a reply, into its Slack
   thread; the whole is in the task's log and in index `vigil-incident-context`. A source that is away is named.
3. **decide**: asks what to do, under *Required actions*. Without an answer within 30 minutes: nothing.
4. **carry_out**: acknowledges or silences the incident as the person who answered, or restarts a service and waits for
   its health gate.

See `docs/incident-response.md`.
""",
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=critical_incidents
    ),
    catchup=False,
    # A run that waits for a person must not keep the next incident waiting.
    max_active_runs=8,
    dagrun_timeout=timedelta(hours=1),
    deadline=late_after(minutes=50),
    on_failure_callback=on_failure(),
    tags=["vigil", "incidents"],
    params={
        "target": target_param(),
        "severities": Param(
            ["critical"],
            type="array",
            items={"type": "string", "enum": ["info", "warning", "error", "critical"]},
            title="Severities",
            description="Of which severities incidents are worked on.",
        ),
    },
    default_args=task_defaults(minutes=5, retries=2, retry_after_s=15),
) as incident_response:

    @task_group(group_id="respond")
    def respond(incident_id: str) -> None:
        """One incident."""
        gather = GatherContextOperator(task_id="gather", incident_id=incident_id, asks="respond.decide", target=TARGET)
        decide = HITLOperator(
            task_id="decide",
            subject="{{ ti.xcom_pull(task_ids='respond.gather', map_indexes=ti.map_index)['subject'] }}",
            body="{{ ti.xcom_pull(task_ids='respond.gather', map_indexes=ti.map_index)['body'] }}",
            options=[str(choice) for choice in Choice],
            defaults=str(Choice.NOTHING),
            response_timeout=timedelta(minutes=30),
            params={
                "service": Param(
                    "",
                    type="string",
                    enum=["", *SERVICES],
                    title="Service",
                    description="Which service a restart is about; empty: the one that the incident names.",
                )
            },
        )
        carry_out = CarryOutChoiceOperator(
            task_id="carry_out",
            incident_id=incident_id,
            decided_by="respond.decide",
            target=TARGET,
            # A service is restarted once, whatever comes of it.
            retries=0,
        )
        gather >> decide >> carry_out

    gate = PlatformGateOperator(task_id="platform_is_up", needs=("kafka",), target=TARGET)
    find = FindIncidentsOperator(task_id="find_incidents", severities="{{ params.severities }}", target=TARGET)
    gate >> find
    respond.expand(incident_id=find.output)
