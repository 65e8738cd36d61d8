"""Chooses which part of a DAG a target has: machines are made or reached first, this machine is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from infra.targets import DEPLOYED_LAST, Kind, reference
from streaming.settings import load_settings
from vigil_airflow.operators.intent import refuse_while_changing


class ChooseTargetOperator(BaseOperator):
    """First task of a DAG that starts or stops services: fails while another one is under way, and skips the tasks that
    the target does not have. Those after them need a trigger rule that takes skipped ones (`none_failed`).

    Args:
        skips: for each kind of target the ids of the tasks that it does not have.
        skips_at_once: likewise, of those that are skipped besides where `at_once` is "True".
        at_once: "True" or "False" (templated).
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Contradicted: another such DAG is running; the text names it.
        ConfigError: no such target.
        DownstreamTasksSkipped: how Airflow is told of the tasks to skip.
    """

    template_fields: Sequence[str] = ("target", "at_once")
    ui_color = "#cfe2f3"

    def __init__(
        self,
        *,
        skips: Mapping[Kind, Sequence[str]],
        skips_at_once: Mapping[Kind, Sequence[str]] | None = None,
        at_once: str = "False",
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.skips, self.skips_at_once = dict(skips), dict(skips_at_once or {})
        self.at_once, self.target = at_once, target

    def execute(self, context: Context) -> None:
        """Checks and chooses."""
        refuse_while_changing(context)
        found = reference(self.target, load_settings())
        skipped = [*self.skips.get(found.kind, ())]
        if self.at_once == "True":
            skipped += self.skips_at_once.get(found.kind, ())
        self.log.info("target %s; skipped: %s", found, ", ".join(skipped) or "nothing")
        if skipped:
            raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call]  # Airflow's own, not annotated
