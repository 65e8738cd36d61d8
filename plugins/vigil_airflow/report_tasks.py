"""What the DAGs of error reports have in common, whatever the length of their period: parameters and tasks."""

from __future__ import annotations

from airflow.sdk import Param

from infra.pools import HEAVY
from vigil_airflow.dag_defaults import TARGET, target_param
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.operators.reports import (
    DELIVER,
    BuildReportsOperator,
    ChooseReportsOperator,
    MailReportsOperator,
    SlackReportsOperator,
)


def report_params(day: str) -> dict[str, Param]:
    """Parameters `day` (with this description), `deliver` and `target`."""
    return {
        "day": Param(
            None,
            type=["null", "string"],
            pattern=r"^(\d{4}-\d{2}-\d{2}|yesterday)$",
            title="Day",
            description=day,
        ),
        "deliver": Param(
            "new",
            type="string",
            enum=list(DELIVER),
            title="Deliver",
            description="new: what was not delivered before; always: also what was; never: only store it.",
        ),
        "target": target_param(),
    }


def report_tasks(kind: str) -> None:
    """In the DAG that is being declared: chooses what is due of that kind (`daily`, `weekly`), builds and sends it."""
    gate = PlatformGateOperator(task_id="platform_is_up", target=TARGET)
    choose = ChooseReportsOperator(task_id="choose", kind=kind, day="{{ params.day or '' }}", target=TARGET)
    build = BuildReportsOperator(task_id="build", kind=kind, days=choose.output, target=TARGET, pool=HEAVY)
    deliver = [
        SlackReportsOperator(
            task_id="post_to_slack", kind=kind, days=choose.output, deliver="{{ params.deliver }}", target=TARGET
        ),
        MailReportsOperator(
            task_id="mail", kind=kind, days=choose.output, deliver="{{ params.deliver }}", target=TARGET
        ),
    ]
    gate >> choose >> build >> deliver
