"""Makes, merges, finishes and deletes the indices of logs by day and retention class, every hour."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.indices import RollIndicesOperator

from infra.pools import INDICES

with DAG(
    dag_id="roll_indices",
    description=__doc__,
    doc_md="""
### Roll the indices
One look at all indices, then what is due, each with its reason in the task's log; `vigil indices roll` does the same.

| what | when |
|---|---|
| declare the retention classes of the rule files | they differ from those declared last; in force from a midnight on |
| repair templates and mappings | they differ from what this version declares |
| delete a whole index | it is past the days of its class; never more than a quarter at once, but for one day |
| make an index | for today and the next two days, with shards by the size of the last seven days (30 GB each) |
| merge | two hours after the end of its day, and once more when it is finished |
| write-block | ten days after the end of its day: nothing can come for it any more |
| snapshot | it is write-blocked, and `VIGIL_SNAPSHOT_REPOSITORY` names a repository |

* **No log waits for this**: the indexer makes a missing index itself, and opens a write-blocked one for a late record.
* **It warns** a week before a disk reaches the low watermark, at the present rate.
* **It fails** where more is due for deletion than may go at once (all else is done then): a retention that was
  shortened by mistake shows here. If it is meant, run it once with *Allow deleting*.
* **Again is harmless**: what is done is not planned again. It skips while the platform is not up.
""",
    schedule="5 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=90),
    tags=["vigil", "indices"],
    params={
        "dry_run": Param(False, type="boolean", title="Dry run", description="Only say in the log what would be done."),
        "allow_deleting": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=1,
            title="Allow deleting",
            description="Share of all documents, or of all indices, that this run may delete at once, 0 to 1. Empty: "
            "0.25.",
        ),
        "target": target_param(),
    },
    # A merge of a day may take most of an hour; the next run goes on where this one was cut off.
    default_args=task_defaults(minutes=55),
) as roll_indices:
    gate = PlatformGateOperator(task_id="platform_is_up", target=TARGET)
    gate >> RollIndicesOperator(
        task_id="roll_indices",
        only_look="{{ params.dry_run }}",
        allow_deleting="{{ params.allow_deleting }}",
        target=TARGET,
        pool=INDICES,
    )
