"""What a deferred task waits for, without a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from streaming.errors import VigilError
from vigil_airflow.health_gate import Look, Verdict, look
from vigil_airflow.hooks import VigilHook
from vigil_airflow.triggers.settling import settle


class HealthGateTrigger(BaseTrigger):
    """Fires once when a service's health gate opens, when the service ended by itself, or at the deadline.

    The event is `{"verdict": Verdict, "reason": str}`; the verdict is WAITING when the deadline passed.
    The deadline is absolute, so that another triggerer that takes over does not wait anew.

    Args:
        service: name in the catalogue.
        target: as `infra.targets.reference` takes it.
        deadline: seconds since the epoch.
    """

    POLL_S: ClassVar[float] = 1.0

    def __init__(self, service: str, target: str, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's triggers are not annotated
        self.service, self.target, self.deadline = service, target, deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, to be made again in the triggerer."""
        return (
            "vigil_airflow.triggers.HealthGateTrigger",
            {"service": self.service, "target": self.target, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks every `POLL_S` seconds, in a thread: neither supervisor nor gate is asked asynchronously."""
        hook = VigilHook(self.target)
        try:
            await settle(self.deadline)
            while True:
                found = await asyncio.to_thread(self._look, hook)
                if found.verdict is not Verdict.WAITING or time.time() >= self.deadline:
                    break
                await asyncio.sleep(self.POLL_S)
        finally:
            hook.close()
        event = {"verdict": str(found.verdict), "reason": found.reason}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # as above

    def _look(self, hook: VigilHook) -> Look:
        try:
            return look(hook.platform, hook.service(self.service))
        except VigilError as error:
            return Look(Verdict.ENDED, str(error))
