"""Keeps a backup of what lives only in Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook


class BackUpOperator(BaseOperator):
    """One backup into the platform's own folder on this host (`infra.backups.make`), and those removed that are not
    kept. Safe to repeat.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Returns: `{"file": its path, "records": how many}`.

    Raises:
        VigilError: Kafka does not answer, or the file cannot be written; none is left half-written.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#d9ead3"

    def __init__(self, *, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> dict[str, object]:
        """Writes, and tells."""
        from infra.backups import make

        summary = make(VigilHook(self.target).settings, lambda line: self.log.info("%s", line))
        return {"file": summary.file, "records": sum(summary.records.values())}
