"""Sends dead letters through the logs once more, after what refused them was mended; a person sees them first."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param
from vigil_airflow.dag_defaults import TARGET, on_failure, target_param, task_defaults
from vigil_airflow.operators.dead_letters import (
    PreviewDeadLettersOperator,
    ReplayDeadLettersOperator,
    ReportLeftOperator,
)
from vigil_airflow.operators.gate import PlatformGateOperator

from infra.pools import INDICES

with DAG(
    dag_id="dead_letter_replay",
    description=__doc__,
    doc_md="""
### Replay dead letters
A dead letter is a record that could not be read or indexed; it lies whole in topic `dead-letters`, with the reason.
Mend the reason first (`vigil dead-letters list` shows it), then replay.

1. **preview** counts the letters that fit the form, by reason, and shows the first of them. Where none fit, the rest is
   skipped.
2. **approve** waits for a person, at most a day; see *Required Actions*. Only what was previewed is replayed.
3. **replay** sends the original bytes through today's parser, under their first coordinates: index and document are
   those that they would have had, and rules see each once. Broken off, the next try goes on where it was.
4. **report_left** waits until all of it is indexed and tells what failed again, and what was not replayed.
""",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=27),
    on_failure_callback=on_failure(),
    tags=["vigil", "logs"],
    params={
        "reasons": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "minLength": 1},
            title="Reasons",
            description="One a line, as vigil dead-letters list shows them; * at the end stands for anything: "
            "elasticsearch:*. Empty: every reason.",
        ),
        "since": Param(
            "24h",
            type=["string", "null"],
            title="Since",
            description="Letters from then on: 30m, 24h, 7d ago, or a time such as 2026-11-24T10:00Z (UTC). "
            "Empty: all that Kafka has.",
        ),
        "until": Param(
            None,
            type=["string", "null"],
            title="Until",
            description="Letters before then, written likewise. Empty: until now.",
        ),
        "topics": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "enum": ["logs", "heartbeats", "registrations"]},
            examples=["logs", "heartbeats", "registrations"],
            title="Topics",
            description="Where the records came from. Empty: any.",
        ),
        "again": Param(
            False,
            type="boolean",
            title="Also what was replayed before",
            description="A letter that was replayed is left out otherwise.",
        ),
        "target": target_param(),
    },
    default_args=task_defaults(minutes=60),
) as replay:
    gate = PlatformGateOperator(task_id="platform_is_up", manual=True, target=TARGET)
    preview = PreviewDeadLettersOperator(task_id="preview", target=TARGET)
    approve = ApprovalOperator(
        task_id="approve",
        subject="Replay {{ '{:,}'.format(ti.xcom_pull(task_ids='preview')['total']) }} dead letters?",
        body="{{ ti.xcom_pull(task_ids='preview')['body'] }}",
        defaults="Reject",
        response_timeout=timedelta(days=1),
        execution_timeout=None,
    )
    send = ReplayDeadLettersOperator(task_id="replay", preview_task="preview", target=TARGET, pool=INDICES)
    (
        gate
        >> preview
        >> approve
        >> send
        >> ReportLeftOperator(task_id="report_left", preview_task="preview", replay_task="replay", target=TARGET)
    )
