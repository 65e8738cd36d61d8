"""What all of Vigil's DAGs have in common: owner, retries, time-outs, who hears of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from infra.targets import DEPLOYED_LAST, DEPLOYMENT, TARGETS
from vigil_airflow.notifier import VigilSlackNotifier

NAME = "[a-z][a-z0-9-]{0,30}"
"""Of a deployment, as a pattern."""

TARGET = "{{ params.target }}"
"""The value of `target_param`, for an operator's templated field."""

CHOSEN_TARGET = "{{ params.target }}:{{ params.deployment }}"
"""The same of `choice_params`."""


def target_param() -> Param:
    """Parameter `target`: which of the platforms that there are."""
    return Param(
        DEPLOYED_LAST,
        type="string",
        pattern=rf"^({DEPLOYED_LAST}|local|(virtualbox|inventory)(:{NAME})?)$",
        examples=[DEPLOYED_LAST, *TARGETS],
        title="Target",
        description=f"Which platform: {DEPLOYED_LAST}, local, or virtualbox or inventory with a colon and the name of "
        "the deployment.",
    )


def choice_params() -> dict[str, Param]:
    """Parameters of a DAG that brings platforms up or down: `target`, and of machines `deployment`."""
    return {
        "target": Param(
            TARGETS[0],
            type="string",
            enum=list(TARGETS),
            title="Target",
            description="local: this machine, under its process supervisor. virtualbox: machines that Terraform makes "
            "here. inventory: machines that are there already.",
        ),
        "deployment": Param(
            DEPLOYMENT,
            type="string",
            pattern=f"^{NAME}$",
            title="Deployment",
            description="Name of the machines as a whole; local has none. Lower case letters, digits and -.",
        ),
    }


def task_defaults(*, minutes: float, retries: int = 1, retry_after_s: float = 30.0) -> dict[str, Any]:
    """`default_args` of a DAG whose tasks end within so many minutes each.

    The wait doubles with each try: what fails first is usually a server that is being started.
    """
    return {
        "owner": "vigil",
        "retries": retries,
        "retry_delay": timedelta(seconds=retry_after_s),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(minutes=minutes),
    }


def on_failure() -> VigilSlackNotifier:
    """`on_failure_callback` of a DAG: Slack is told of the run, once, however many of its tasks failed."""
    return VigilSlackNotifier()


def late_after(*, minutes: float) -> DeadlineAlert:
    """`deadline` of a DAG: Slack is told of a run that has not ended so long after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(VigilSlackNotifier),
    )
