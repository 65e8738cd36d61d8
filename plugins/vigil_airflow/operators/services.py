"""Starts, restarts and stops one service of the platform, with its health gate."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from infra.service_manager import RunState, ServiceStatus
from infra.services import WHY_LACKING, Service
from infra.targets import DEPLOYED_LAST
from streaming.errors import Unavailable
from vigil_airflow.health_gate import failure_text, look, wait
from vigil_airflow.hooks import VigilHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.services import HealthGateTrigger

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
        target: as `infra.targets.reference` takes it (templated).
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
        target: str = DEPLOYED_LAST,
        patience_s: float = PATIENCE_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service, self.target, self.patience_s = service, target, patience_s

    def execute(self, context: Context) -> str:
        """Starts it; returns what the gate said."""
        hook = VigilHook(self.target)
        skip_where_lacking(hook, self.service)
        ran_before = hook.manager.status(hook.service(self.service).name).state is RunState.RUNNING
        self.log.info("%s is %s", self.service, "running already" if ran_before else "being started")
        hook.platform.start(self.service, self.log.info)
        return self._await_gate(hook, restart_if_late=ran_before)

    def after_gate(self, context: Context, event: dict[str, str], restart_if_late: bool) -> str:
        """Goes on where the trigger left off."""
        found = Seen.of_event(event)
        return self._conclude(VigilHook(self.target), found, restart_if_late)

    def _await_gate(self, hook: VigilHook, restart_if_late: bool) -> str:
        service = hook.service(self.service)
        deadline = time.time() + service.timeout_s
        found = wait(lambda: look(hook.platform, service), min(time.time() + self.patience_s, deadline))
        if found.outcome is Outcome.WAITING and time.time() < deadline:
            self.log.info("waiting for the health gate of %s: %s", service.name, found.reason)
            self.defer(
                trigger=HealthGateTrigger(service.name, self.target, deadline),
                method_name="after_gate",
                kwargs={"restart_if_late": restart_if_late},
                # The trigger keeps the deadline; this is for a triggerer that is gone.
                timeout=timedelta(seconds=service.timeout_s + 60),
            )
        return self._conclude(hook, found, restart_if_late)

    def _conclude(self, hook: VigilHook, found: Seen, restart_if_late: bool) -> str:
        service = hook.service(self.service)
        if found.outcome is Outcome.MET:
            self.log.info("%s is healthy: %s", service.name, found.reason)
            return found.reason
        if found.outcome is Outcome.WAITING and restart_if_late:
            self.log.warning("%s runs but is not healthy (%s): restarting it", service.name, found.reason)
            hook.manager.restart(service.name)
            return self._await_gate(hook, restart_if_late=False)
        raise ServiceNotHealthy(_why(hook, service, found))


def skip_where_lacking(hook: VigilHook, service: str) -> None:
    """Skips, with the reason, where the platform does not have a service that only some have."""
    if service not in hook.services and service in WHY_LACKING:
        raise AirflowSkipException(WHY_LACKING[service])


def _why(hook: VigilHook, service: Service, found: Seen) -> str:
    status: ServiceStatus | None
    try:
        status = hook.manager.status(service.name)
    except Unavailable:
        status = None
    log, words = hook.platform.last_words(service.name)
    return failure_text(service, service.timeout_s, found, status, log, words)


class RestartServiceOperator(StartServiceOperator):
    """Restarts a service and succeeds when its health gate opens again; skips one that was not chosen.

    Args:
        service: name in the catalogue (templated).
        chosen: names of the services to restart, as a list or as its text (templated); None: whichever it is.
        target: as `infra.targets.reference` takes it (templated).
        patience_s: seconds to wait in the task's process.

    Raises:
        AirflowSkipException: it is not among `chosen`.
        ServiceNotHealthy: time-out, or it ended by itself.
        VigilError: no such service or target, or the supervisor does not answer.
    """

    template_fields: Sequence[str] = ("service", "chosen", "target")
    ui_color = "#ffe599"

    def __init__(self, *, chosen: Sequence[str] | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chosen = chosen

    def execute(self, context: Context) -> str:
        """Restarts it; returns what the gate said."""
        if self.chosen is not None and self.service not in _names(self.chosen):
            raise AirflowSkipException(f"{self.service} was not chosen")
        hook = VigilHook(self.target)
        self.log.info("%s is being restarted", self.service)
        hook.manager.restart(hook.service(self.service).name)
        return self._await_gate(hook, restart_if_late=False)


def _names(chosen: Sequence[str] | str) -> Sequence[str]:
    """A template gives the text of a list, unless the DAG renders native objects."""
    if not isinstance(chosen, str):
        return chosen
    found = ast.literal_eval(chosen)
    return [str(name) for name in found] if isinstance(found, list | tuple) else [str(found)]


class StopServiceOperator(BaseOperator):
    """Stops a service and succeeds when it has ended. Harmless where it does not run. Its data stays.

    Args:
        service: name in the catalogue (templated).
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        VigilError: no such service or target, or the supervisor does not answer.
    """

    template_fields: Sequence[str] = ("service", "target")
    ui_color = "#f4cccc"

    def __init__(self, *, service: str, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service, self.target = service, target

    def execute(self, context: Context) -> None:
        """Stops it."""
        hook = VigilHook(self.target)
        skip_where_lacking(hook, self.service)
        began = time.monotonic()
        hook.manager.stop(hook.service(self.service).name)
        self.log.info("%s has stopped after %.1f s", self.service, time.monotonic() - began)
