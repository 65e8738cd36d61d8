"""Records that the platform is meant to be up or down, and keeps apart what starts and stops services."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context, DagRunState, TaskInstanceState
from airflow.sdk.exceptions import AirflowException

from infra.intent import Intent, Order, record_order
from infra.targets import DEPLOYED_LAST, remember_last
from vigil_airflow.hooks import VigilHook

log = logging.getLogger(__name__)


class Contradicted(AirflowException):
    """Another DAG is at work that starts or stops services."""


CHANGES = ("deploy_platform", "teardown_platform", "restart_platform")
"""DAGs that start or stop services. People start them."""

GIVES_WAY = "renew_certificates"
"""Another one, of a single task, which Airflow starts by itself, also right after its own first start. Its task does
nothing where one of the others runs: while it waits for its turn, or to be tried again, nobody need wait for it."""

GIVES_WAY_WITHIN_S = 90.0
"""Where nothing is due its task ends within seconds, on a machine that is busy starting Airflow within half a minute.
Those who wait have two minutes."""

LOOK_AGAIN_S = 1.0


def changing(context: Context) -> list[str]:
    """Those of them, but for the own one, that are at work. Of two that begin at once, one at least sees the other:
    each counts as such before it looks."""
    own, ti = context["dag"].dag_id, context["ti"]
    found = [dag for dag in CHANGES if dag != own and ti.get_dr_count(dag_id=dag, states=[DagRunState.RUNNING])]
    if own != GIVES_WAY and ti.get_ti_count(dag_id=GIVES_WAY, states=[TaskInstanceState.RUNNING]):
        found.append(GIVES_WAY)
    return found


def changing_for_long(context: Context) -> list[str]:
    """As `changing`, but for `GIVES_WAY`, which is waited for."""
    until = time.monotonic() + GIVES_WAY_WITHIN_S
    while (found := changing(context)) == [GIVES_WAY] and time.monotonic() < until:
        log.info("%s is running, and gives way; waiting for it", GIVES_WAY)
        time.sleep(LOOK_AGAIN_S)
    return found


def refuse_while_changing(context: Context) -> None:
    """Raises `Contradicted` while one of them, but for the own one, is at work; `GIVES_WAY` is waited for."""
    if found := changing_for_long(context):
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
