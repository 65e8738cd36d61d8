"""Builds the error report of each local week once its logs are in, and sends it to Slack and by mail."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import late_after, on_failure, task_defaults
from vigil_airflow.report_tasks import report_params, report_tasks

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
    params=report_params("A day of the week whose report is built, such as 2026-11-25. Empty: the last closed week."),
    default_args=task_defaults(minutes=15, retries=2),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=45),
) as weekly_error_report:
    report_tasks("weekly")
