"""Wakes DAGs when another rule set comes into force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from infra.targets import DEPLOYED_LAST
from streaming.errors import VigilError
from vigil_airflow.hooks import VigilHook


class RuleSetChangedTrigger(BaseEventTrigger):
    """For an `AssetWatcher`: fires when a rule set is in force that was not backtested last. Its event is
    `{"version": str}`.

    It looks at the record that the matcher writes when a set comes into force, so it sees what is in force and not
    what a file says; and what changed while the triggerer was down is seen when it is up again. It goes on while Kafka
    is away, and says so in the triggerer's log once.

    Args:
        target: as `infra.targets.reference` takes it.
    """

    LOOK_EVERY_S: ClassVar[float] = 30.0

    def __init__(self, target: str = DEPLOYED_LAST) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's triggers are not annotated
        self.target = target

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, to be made again in the triggerer."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {"target": self.target}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks for ever."""
        known, away = "", False
        while True:
            try:
                version = await asyncio.to_thread(self._in_force)
            except VigilError as error:
                if not away:
                    self.log.warning("waits until it can see which rule set is in force: %s", error)
                away, version = True, known
            else:
                away = False
            if version != known:
                known = version
                if version != await asyncio.to_thread(self._tried_last):
                    yield TriggerEvent({"version": version})  # type: ignore[no-untyped-call]  # as above
            await asyncio.sleep(self.LOOK_EVERY_S)

    def _in_force(self) -> str:
        from streaming.alerting.rules.source import last_good

        rules = last_good(VigilHook(self.target).settings)
        return rules.version if rules else ""

    def _tried_last(self) -> str:
        from streaming.alerting.rehearsal.kept import latest

        kept = latest(VigilHook(self.target).settings)
        return kept.summary.rules_version if kept else ""
