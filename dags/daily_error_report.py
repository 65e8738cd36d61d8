"""Builds the error report of each local day once its logs are in, and sends it to Slack and by mail."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from vigil_airflow.dag_defaults import late_after, on_failure, task_defaults
from vigil_airflow.report_tasks import report_params, report_tasks

with DAG(
    dag_id="daily_error_report",
    description=__doc__,
    doc_md="""
### Error report of a day
Errors by service, node and message, each beside the day before and the same weekday; new and vanished messages;
incidents; availability of nodes; latency and losses of the pipeline; volume and cost. One HTML file, a PDF and a
picture in `VIGIL_HOME/reports/daily/DATE`; all numbers in index `vigil-reports`; `vigil reports list` lists them.

* **A day is one of the zone `VIGIL_REPORT_ZONE`** (default UTC), 23 or 25 hours long where clocks change. Its logs are
  counted if they were received within an hour after it (`VIGIL_REPORT_LATE_H`).
* **It looks every hour**, and skips unless a day has ended that has no report: the zone is a setting of the platform,
  which may lie in a file, and a DAG's file reads none; an hourly look is right in every zone, over every change of its
  clocks, and makes up for what was missed while Airflow was away (seven days).
* **Any day can be built again**: trigger it with *Day*, or use Airflow's backfill. A report that was built keeps its
  numbers; what came later is shown as a correction.
* **Delivered once**, to Slack (connection `vigil_slack`, or SLACK_BOT_TOKEN) and by mail
  (`VIGIL_REPORT_MAIL_RECEIVER`); what is not set up is skipped.
""",
    schedule="7 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=50),
    tags=["vigil", "reports"],
    params=report_params("Day whose report is built, such as 2026-11-25. Empty: the last day that is closed."),
    default_args=task_defaults(minutes=15, retries=2),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=45),
) as daily_error_report:
    report_tasks("daily")
