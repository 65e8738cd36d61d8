"""Asks whether the platform is up, and meant to be, before a DAG does anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from infra.intent import last_order
from infra.standing import Found, Standing, judged, meant
from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook
from vigil_airflow.operators.intent import changing, changing_for_long


class PlatformIsNotUp(AirflowFailException):
    """What a person triggered needs the platform, which is not up; the text says why. Trying again would not help."""


class PlatformGateOperator(BaseOperator):
    """First task of a DAG that needs the platform. Succeeds where it is up; else skips what follows, with the reason.

    It skips while the platform is meant to be down or is being changed. Where it is down against the last order, what
    follows is skipped too (`heartbeat_audit` and `pipeline_audit` tell of that), unless `runs_when_down`.

    Args:
        needs: services that must answer.
        runs_when_down: succeed also where it is down against the last order: for what audits that.
        manual: fail instead of skipping: a person who triggers something is to see that it was not done.
        target: as `infra.targets.reference` takes it (templated).

    Returns: how the platform stands, one of `infra.standing.Standing`.

    Raises:
        AirflowSkipException: see above; the text is the reason.
        PlatformIsNotUp: likewise, where `manual`.
        ConfigError: the record of the last order cannot be read.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#cfe2f3"

    def __init__(
        self,
        *,
        needs: Sequence[str] = ("kafka", "elasticsearch"),
        runs_when_down: bool = False,
        manual: bool = False,
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs, self.runs_when_down, self.manual, self.target = tuple(needs), runs_when_down, manual, target

    def execute(self, context: Context) -> str:
        """Asks what was ordered, then the services."""
        found = self._find(context)
        if found.standing is Standing.UP or (found.standing is Standing.DOWN and self.runs_when_down):
            self.log.info("%s", found.reason)
            return str(found.standing)
        if self.manual:
            raise PlatformIsNotUp(found.reason)
        raise AirflowSkipException(found.reason)

    def _find(self, context: Context) -> Found:
        hook = VigilHook(self.target)
        order = last_order(hook.platform.home)
        # Whoever started it by hand waits; the next scheduled run looks again.
        found = meant(order, changing_for_long(context) if self.manual else changing(context))
        if found or order is None:
            return found or Found(Standing.MEANT_DOWN, "never deployed")
        return judged(order, {name: hook.platform.probe(hook.service(name), 5.0) for name in self.needs})
