"""Rolls the indices of logs, dead letters and audits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from streaming.rolling.run import Report


class DeletionRefused(AirflowFailException):
    """More is past its retention than may be deleted at once; the text says how much, and how to allow it. Another
    attempt would find the same."""


class RollIndicesOperator(BaseOperator):
    """One roll (`streaming.rolling.run.roll`): each action is a line of the log before it is done, then what a person
    should know, then the disks. Safe to repeat: what is done is not planned again.

    Args:
        only_look: a dry run: only say what would be done (templated; `True` or the text of it).
        allow_deleting: share of all documents, or indices, that may be deleted at once, 0 to 1; empty: a quarter
            (templated).
        target: as `infra.targets.reference` takes it (templated).

    Returns: `{"actions": how many were done, "would_do": how many a dry run found, "warnings": list of texts}`.

    Raises:
        DeletionRefused: see there. All other actions were done.
        VigilError: a server does not answer, or refused an action; the text says which. What was done is done.
    """

    template_fields: Sequence[str] = ("only_look", "allow_deleting", "target")
    ui_color = "#d0e0e3"

    def __init__(
        self,
        *,
        only_look: bool | str = False,
        allow_deleting: float | str | None = None,
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.only_look, self.allow_deleting, self.target = only_look, allow_deleting, target

    def execute(self, context: Context) -> dict[str, object]:
        """Looks, decides, does, and tells."""
        from streaming.rolling.run import roll

        report = roll(
            VigilHook(self.target).settings,
            dry_run=str(self.only_look) == "True",
            allow_deleting=None if self.allow_deleting in (None, "", "None") else float(self.allow_deleting),
            say=lambda line: self.log.info("%s", line),
        )
        self._tell(report)
        if report.plan.refused is not None:
            raise DeletionRefused(str(report.plan.refused))
        report.check()
        done = sum(not one.failed for one in report.done)
        would_do = len(report.plan.actions) if report.dry_run else 0
        return {"actions": done, "would_do": would_do, "warnings": list(report.plan.warnings)}

    def _tell(self, report: Report) -> None:
        for line in report.lines():
            self.log.info("%s", line)
        for one in report.failed:
            self.log.error("%s: FAILED: %s", one.action, one.failed)
        for warning in report.plan.warnings:
            self.log.warning("%s", warning)
