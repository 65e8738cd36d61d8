"""Records that the platform is meant to be up or down, and keeps deployment and teardown apart."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context, DagRunState
from airflow.sdk.exceptions import AirflowException

from infra.intent import Intent, Order, record_order
from vigil_airflow.hooks import VigilHook


class Contradicted(AirflowException):
    """Another DAG is at work that wants the opposite."""


class RecordIntentOperator(BaseOperator):
    """Fails while a run of the opposite DAG is under way; else records the intent (`infra.intent`).

    First task of deployment and teardown. Should both be started in the same moment, each sees the other and both
    fail before they touch anything.

    Args:
        intent: what this DAG wants.
        opposite: dag_id of the one that wants the opposite.

    Raises:
        Contradicted: `opposite` has a run that is running.
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, intent: Intent, opposite: str, target: str = "local", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.intent, self.opposite, self.target = intent, opposite, target

    def execute(self, context: Context) -> None:
        """Checks, then records."""
        if context["ti"].get_dr_count(dag_id=self.opposite, states=[DagRunState.RUNNING]):
            raise Contradicted(
                f"{self.opposite} is running; wait for it to end, or mark its run as failed, then start this again"
            )
        by = f"{context['dag'].dag_id} {context['dag_run'].run_id}"
        record_order(
            VigilHook(self.target).settings, Order(intent=self.intent, since_ms=time.time_ns() // 1_000_000, by=by)
        )
        self.log.info("the platform is meant to be %s", self.intent)
