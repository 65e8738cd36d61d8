"""Waits for a service to be healthy."""

from __future__ import annotations

from typing import Any, ClassVar

from vigil_airflow.health_gate import look
from vigil_airflow.hooks import VigilHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.polling import PollingTrigger


class HealthGateTrigger(PollingTrigger):
    """For whoever has just started a service: fires when its health gate is open, or it ended by itself (hopeless).

    Args:
        service: name in the catalogue.
        target: as `infra.targets.reference` takes it.
        deadline: seconds since the epoch.
    """

    POLL_S: ClassVar[float] = 1.0

    def __init__(self, service: str, target: str, deadline: float) -> None:
        super().__init__(deadline)
        self.service, self.target = service, target
        self._hook = VigilHook(target)

    def arguments(self) -> dict[str, Any]:
        """As given."""
        return {"service": self.service, "target": self.target}

    def look(self) -> Seen:
        """Asks supervisor, then gate."""
        return look(self._hook.platform, self._hook.service(self.service))

    def close(self) -> None:
        """Disconnects, if it was connected."""
        self._hook.close()


class ServiceHealthyTrigger(HealthGateTrigger):
    """For whoever waits for a service, whoever starts it: one that is stopped or has failed is waited for like one
    that is starting."""

    def look(self) -> Seen:
        """As of one that was started, but for hope."""
        found = super().look()
        return Seen(Outcome.WAITING, found.reason) if found.outcome is Outcome.HOPELESS else found
