"""Builds the error report of each local week once its logs are in, and sends it to Slack and by mail."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.reports import (
    DELIVER,
    BuildReportsOperator,
    ChooseReportsOperator,
    MailReportsOperator,
    SlackReportsOperator,
)

from infra.pools import HEAVY

KIND = "weekly"

with DAG(
    dag_id="weekly_error_report",
    description=__doc__,
    doc_md="""
### Error report of a week
What `daily_error_report` tells of a day, of a week from Monday to Sunday of the zone `VIGIL_REPORT_ZONE`, beside the
week before. In `VIGIL_HOME/reports/weekly/DATE`, by the date of its Monday.

* **It looks every hour from Sunday to Tuesday (UTC)**, in which the first hours of Monday lie in every zone, and skips
  unless a week has ended that has no report. What was missed is made up for the next time, up to seven weeks.
* **Any week can be built again**: trigger it with *Day*, any day of that week. A report that was built keeps its
  numbers; what came later is shown as a correction.
""",
    schedule="27 * * * 0-2",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=50),
    tags=["vigil", "reports"],
    params={
        "day": Param(
            None,
            type=["null", "string"],
            pattern=r"^(\d{4}-\d{2}-\d{2}|yesterday)$",
            title="Day",
            description="A day of the week whose report is built, such as 2026-11-25. Empty: the last closed week.",
        ),
        "deliver": Param(
            "new",
            type="string",
            enum=list(DELIVER),
            title="Deliver",
            description="new: what was not delivered before; always: also what was; never: only store it.",
        ),
        "target": target_param(),
    },
    default_args=task_defaults(minutes=15, retries=2),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=45),
) as weekly_error_report:
    gate = PlatformGateOperator(task_id="platform_is_up", target=TARGET)
    choose = ChooseReportsOperator(task_id="choose", kind=KIND, day="{{ params.day or '' }}", target=TARGET)
    build = BuildReportsOperator(task_id="build", kind=KIND, days=choose.output, target=TARGET, pool=HEAVY)
    deliver = [
        SlackReportsOperator(
            task_id="post_to_slack", kind=KIND, days=choose.output, deliver="{{ params.deliver }}", target=TARGET
        ),
        MailReportsOperator(
            task_id="mail", kind=KIND, days=choose.output, deliver="{{ params.deliver }}", target=TARGET
        ),
    ]
    gate >> choose >> build >> deliver
