"""Waits for a service to be healthy, whoever starts it."""

from __future__ import annotations

from typing import Any

from vigil_airflow.health_gate import Verdict, look
from vigil_airflow.hooks import VigilHook
from vigil_airflow.triggers.polling import Outcome, PollingTrigger, Seen


class ServiceHealthyTrigger(PollingTrigger):
    """Fires when a service's health gate is open. One that is stopped or has failed is waited for like one that is
    starting: somebody may start it. (`HealthGateTrigger` is for whoever has just started it.)

    Args:
        service: name in the catalogue.
        target: as `infra.targets.reference` takes it.
        deadline: seconds since the epoch.
    """

    def __init__(self, service: str, target: str, deadline: float) -> None:
        super().__init__(deadline)
        self.service, self.target = service, target
        self._hook = VigilHook(target)

    def arguments(self) -> dict[str, Any]:
        """As given."""
        return {"service": self.service, "target": self.target}

    def look(self) -> Seen:
        """Asks supervisor, then gate."""
        found = look(self._hook.platform, self._hook.service(self.service))
        return Seen(Outcome.MET if found.verdict is Verdict.HEALTHY else Outcome.WAITING, found.reason)

    def close(self) -> None:
        """Disconnects, if it was connected."""
        self._hook.close()
