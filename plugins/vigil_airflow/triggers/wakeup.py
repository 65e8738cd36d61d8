"""Wakes DAGs when an incident opens that a person must look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from infra.targets import DEPLOYED_LAST
from streaming.errors import VigilError
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from streaming.alerting.context.wakeups import Wakeups

LISTED = 20
"""Ids in an event. It is a wake-up: whoever is woken finds its work itself."""


class IncidentOpenedTrigger(BaseEventTrigger):
    """For an `AssetWatcher`: fires when an incident of one of `severities` opens or comes back (canaries and what is
    muted left out), once for all that do within `QUIET_S`. Its event is `{"incidents": [ids]}`.

    A wake-up and no list of work: what opens while the triggerer is down is not told, and Airflow may start one run
    for several events. Combine it with a schedule (`AssetOrTimeSchedule`), and let the DAG look for what there is.

    It goes on while Kafka is away, also from the start, and says so in the triggerer's log once, not at each attempt.
    Kafka is that of the installation's settings, as for everything of Vigil.

    Args:
        severities: of info, warning, error, critical.
        target: as `infra.targets.reference` takes it.
    """

    LOOK_S: ClassVar[float] = 1.0
    QUIET_S: ClassVar[float] = 10.0
    AWAY_S: ClassVar[float] = 15.0
    """How long it waits before it asks again for a Kafka that does not answer."""

    def __init__(self, severities: Sequence[str] = ("critical",), target: str = DEPLOYED_LAST) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's triggers are not annotated
        self.severities, self.target = tuple(severities), target

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, to be made again in the triggerer."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {"severities": list(self.severities), "target": self.target}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follows the notifications for ever."""
        follow = await asyncio.to_thread(self._follow)
        away = ""
        try:
            while True:
                try:
                    found = await asyncio.to_thread(follow.look, self.LOOK_S)
                except VigilError as error:
                    if not away:
                        self.log.warning("waits until it can follow incidents: %s", error)
                    away = str(error)
                    await asyncio.sleep(self.AWAY_S)
                    continue
                if away:
                    self.log.info("follows incidents again")
                    away = ""
                if found:
                    yield TriggerEvent({"incidents": found[:LISTED]})  # type: ignore[no-untyped-call]  # as above
                    await asyncio.sleep(self.QUIET_S)
        finally:
            follow.close()

    def _follow(self) -> Wakeups:
        """Imports and reads what would hold the triggerer's loop up."""
        from streaming.alerting.context.wakeups import Wakeups
        from streaming.alerting.messages import Severity

        return Wakeups(VigilHook(self.target).settings, [Severity(name) for name in self.severities])
