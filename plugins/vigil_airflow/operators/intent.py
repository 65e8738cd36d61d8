"""Records that the platform is meant to be up or down, and keeps apart what starts and stops services."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context, DagRunState
from airflow.sdk.exceptions import AirflowException

from infra.intent import Intent, Order, record_order
from infra.targets import DEPLOYED_LAST, remember_last
from vigil_airflow.hooks import VigilHook


class Contradicted(AirflowException):
    """Another DAG is at work that starts or stops services."""


CHANGES = ("deploy_platform", "teardown_platform", "restart_platform", "renew_certificates")
"""DAGs that start or stop services."""


def changing(context: Context) -> list[str]:
    """Those of them, but for the own one, that have a run under way."""
    own, ti = context["dag"].dag_id, context["ti"]
    return [dag for dag in CHANGES if dag != own and ti.get_dr_count(dag_id=dag, states=[DagRunState.RUNNING])]


def refuse_while_changing(context: Context) -> None:
    """Raises `Contradicted` while one of them, but for the own one, has a run under way."""
    if found := changing(context):
        raise Contradicted(
            f"{' and '.join(found)} is running; wait for it to end, or mark its run as failed, then start this again"
        )


class RecordIntentOperator(BaseOperator):
    """Fails while another DAG that starts or stops services is under way; else records the intent (`infra.intent`).
    A platform that is meant to be up is the one that was deployed last.

    First task of deployment and teardown. Should both be started in the same moment, each sees the other and both
    fail before they touch anything.

    Args:
        intent: what this DAG wants.

    Raises:
        Contradicted: such a run is running; the text names its DAG.
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, intent: Intent, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.intent, self.target = intent, target

    def execute(self, context: Context) -> None:
        """Checks, then records."""
        refuse_while_changing(context)
        by = f"{context['dag'].dag_id} {context['dag_run'].run_id}"
        hook = VigilHook(self.target)
        record_order(hook.platform.home, Order(intent=self.intent, since_ms=time.time_ns() // 1_000_000, by=by))
        if self.intent is Intent.UP:
            remember_last(hook.platform.reference, hook.installation)
        self.log.info("the platform %s is meant to be %s", hook.platform.reference, self.intent)
