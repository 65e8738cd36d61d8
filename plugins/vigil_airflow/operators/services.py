"""Starts and stops one service of the platform, with its health gate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from infra.local.layout import Layout
from infra.local.supervisor import last_words
from infra.service_manager import RunState, ServiceStatus
from infra.services import Service
from streaming.errors import Unavailable
from vigil_airflow.health_gate import Look, Verdict, failure_text, look, wait
from vigil_airflow.hooks import VigilHook
from vigil_airflow.triggers import HealthGateTrigger

PATIENCE_S = 8.0
"""How long a start is waited for in the task's own process. Most services need less, and a deferral costs the start
of a second process (some 2 s here); longer waits leave the slot to others."""


class ServiceNotHealthy(AirflowFailException):
    """A service's health gate did not open; the text says why and where to read on. Trying again would not help."""


class StartServiceOperator(BaseOperator):
    """Starts a service and succeeds when its health gate opens. Harmless, and quick, where it is healthy already.

    Waits up to `patience_s` itself, then defers to `HealthGateTrigger`; the time-out is the catalogue's. A service
    that was running already and stays unhealthy for that long is restarted once, and its gate gets the same time
    again: so a repeated deployment also repairs what hangs.

    Args:
        service: name in the catalogue (templated).
        target: one of `infra.targets.TARGETS` (templated).
        patience_s: seconds to wait in the task's process.

    Raises:
        ServiceNotHealthy: time-out, or it ended by itself.
        VigilError: no such service or target, or the supervisor does not answer.
    """

    template_fields: Sequence[str] = ("service", "target")
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        service: str,
        target: str = "local",
        patience_s: float = PATIENCE_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service, self.target, self.patience_s = service, target, patience_s

    def execute(self, context: Context) -> str:
        """Starts it; returns what the gate said."""
        hook = VigilHook(self.target)
        ran_before = hook.manager.status(hook.service(self.service).name).state is RunState.RUNNING
        self.log.info("%s is %s", self.service, "running already" if ran_before else "being started")
        hook.manager.start(self.service)
        return self._await_gate(hook, restart_if_late=ran_before)

    def after_gate(self, context: Context, event: dict[str, str], restart_if_late: bool) -> str:
        """Goes on where the trigger left off."""
        found = Look(Verdict(event["verdict"]), event["reason"])
        return self._conclude(VigilHook(self.target), found, restart_if_late)

    def _await_gate(self, hook: VigilHook, restart_if_late: bool) -> str:
        service = hook.service(self.service)
        deadline = time.time() + service.timeout_s
        found = wait(lambda: look(service, hook.settings, hook.manager), min(time.time() + self.patience_s, deadline))
        if found.verdict is Verdict.WAITING and time.time() < deadline:
            self.log.info("waiting for the health gate of %s: %s", service.name, found.reason)
            self.defer(
                trigger=HealthGateTrigger(service.name, self.target, deadline),
                method_name="after_gate",
                kwargs={"restart_if_late": restart_if_late},
                # The trigger keeps the deadline; this is for a triggerer that is gone.
                timeout=timedelta(seconds=service.timeout_s + 60),
            )
        return self._conclude(hook, found, restart_if_late)

    def _conclude(self, hook: VigilHook, found: Look, restart_if_late: bool) -> str:
        service = hook.service(self.service)
        if found.verdict is Verdict.HEALTHY:
            self.log.info("%s is healthy: %s", service.name, found.reason)
            return found.reason
        if found.verdict is Verdict.WAITING and restart_if_late:
            self.log.warning("%s runs but is not healthy (%s): restarting it", service.name, found.reason)
            hook.manager.restart(service.name)
            return self._await_gate(hook, restart_if_late=False)
        raise ServiceNotHealthy(_why(hook, service, found))


def _why(hook: VigilHook, service: Service, found: Look) -> str:
    status: ServiceStatus | None
    try:
        status = hook.manager.status(service.name)
    except Unavailable:
        status = None
    log, words = last_words(Layout(hook.settings.home), service.name)
    return failure_text(service, service.timeout_s, found, status, log, words)


class StopServiceOperator(BaseOperator):
    """Stops a service and succeeds when it has ended. Harmless where it does not run. Its data stays.

    Args:
        service: name in the catalogue (templated).
        target: one of `infra.targets.TARGETS` (templated).

    Raises:
        VigilError: no such service or target, or the supervisor does not answer.
    """

    template_fields: Sequence[str] = ("service", "target")
    ui_color = "#f4cccc"

    def __init__(self, *, service: str, target: str = "local", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service, self.target = service, target

    def execute(self, context: Context) -> None:
        """Stops it."""
        hook = VigilHook(self.target)
        began = time.monotonic()
        hook.manager.stop(hook.service(self.service).name)
        self.log.info("%s has stopped after %.1f s", self.service, time.monotonic() - began)
