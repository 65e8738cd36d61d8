"""Deferrable sensors: a service is healthy, a worker has caught up, an index is ready, an incident is in some state.

Each looks once in the task's own process and then defers, so that waiting costs no worker slot. A server that does not
answer counts as waiting. The time-out (`timeout`, by default `TIMEOUT_S`) is absolute; its error tells what was seen
last. With `deferrable=False` a sensor waits in its process, or by `mode="reschedule"`, as any of Airflow's does;
`soft_fail` skips instead of failing.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from infra.targets import DEPLOYED_LAST
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.polling import PollingTrigger

TIMEOUT_S = 600.0


class VigilSensor(BaseSensorOperator):
    """Base of the sensors here. Returns, as XCom, what was seen in the end.

    Args:
        deferrable: wait in the triggerer.

    Raises:
        AirflowSensorTimeout: the time-out is over; no retry would find more time.
        AirflowFailException: waiting is useless, say because there is no such service; the text says why.
    """

    def __init__(self, *, deferrable: bool = True, timeout: float | timedelta = TIMEOUT_S, **kwargs: Any) -> None:
        kwargs.setdefault("poke_interval", 5.0)
        super().__init__(timeout=timeout, **kwargs)
        self.deferrable = deferrable

    @abstractmethod
    def trigger(self, deadline: float) -> PollingTrigger:
        """What looks."""

    def execute(self, context: Context) -> str | None:
        """Looks, then defers."""
        if not self.deferrable:
            super().execute(context)
            return None
        trigger = self.trigger(time.time() + self.timeout)
        seen = self._look(trigger)
        if seen.outcome is Outcome.WAITING and self.timeout > 0:
            self.log.info("waiting for at most %.0f s: %s", self.timeout, seen.reason)
            # The trigger keeps the deadline; this time-out is for a triggerer that is gone.
            self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout + 60))
        return self._concluded(seen)

    def resume(self, context: Context, event: dict[str, str]) -> str:
        """Goes on where the trigger left off."""
        return self._concluded(Seen.of_event(event))

    def poke(self, context: Context) -> bool:
        """One look, where it does not defer."""
        seen = self._look(self.trigger(time.time()))
        self.log.info("%s", seen.reason)
        if seen.outcome is Outcome.HOPELESS:
            raise AirflowFailException(seen.reason)
        return seen.outcome is Outcome.MET

    def _look(self, trigger: PollingTrigger) -> Seen:
        try:
            return trigger.look_once()
        finally:
            trigger.close()

    def _concluded(self, seen: Seen) -> str:
        if seen.outcome is Outcome.MET:
            self.log.info("%s", seen.reason)
            return seen.reason
        error = (
            AirflowFailException(seen.reason)
            if seen.outcome is Outcome.HOPELESS
            else AirflowSensorTimeout(f"not within {self.timeout:.0f} s; last: {seen.reason}")
        )
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(str(error)) from error
        raise error


class ServiceHealthySensor(VigilSensor):
    """Succeeds when a service of the platform is healthy, whoever starts it.

    Args:
        service: name in the catalogue (templated).
        target: as `infra.targets.reference` takes it (templated).
    """

    template_fields: Sequence[str] = ("service", "target")

    def __init__(self, *, service: str, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service, self.target = service, target

    def trigger(self, deadline: float) -> PollingTrigger:
        """Asks supervisor and gate."""
        from vigil_airflow.triggers.services import ServiceHealthyTrigger

        return ServiceHealthyTrigger(self.service, self.target, deadline)


class LagBelowSensor(VigilSensor):
    """Succeeds when a worker has fewer than `below` records left to read in Kafka.

    Args:
        worker: indexer, matcher, manager, notifier or heartbeat-monitor (templated).
        below: records; 1 waits until everything is read.
        target: as `infra.targets.reference` takes it (templated).
    """

    template_fields: Sequence[str] = ("worker", "target")

    def __init__(self, *, worker: str, below: int = 1, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.worker, self.below, self.target = worker, below, target

    def trigger(self, deadline: float) -> PollingTrigger:
        """Asks Kafka."""
        from vigil_airflow.triggers.lag import LagBelowTrigger

        return LagBelowTrigger(self.worker, self.below, self.target, deadline)


class IndexReadySensor(VigilSensor):
    """Succeeds when an index exists and can be searched (health yellow), or has all its replicas (green).

    Args:
        index: index, alias or data stream; several by commas or `*` (templated).
        health: yellow or green.
        elasticsearch_conn_id: see `vigil_airflow.elastic.VigilElasticsearchHook` (templated).
    """

    template_fields: Sequence[str] = ("index", "elasticsearch_conn_id")

    def __init__(
        self,
        *,
        index: str,
        health: str = "yellow",
        elasticsearch_conn_id: str = "vigil_elasticsearch",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.index, self.health, self.elasticsearch_conn_id = index, health, elasticsearch_conn_id

    def trigger(self, deadline: float) -> PollingTrigger:
        """Asks Elasticsearch."""
        from vigil_airflow.triggers.index import IndexReadyTrigger

        return IndexReadyTrigger(self.index, self.health, self.elasticsearch_conn_id, deadline)


class IncidentStateSensor(VigilSensor):
    """Succeeds when an incident is in one of some states. It is named by exactly one of its id, its key and its rule;
    of several, the one that was opened last counts.

    Args:
        states: of pending, firing, acknowledged, silenced, resolved.
        incident_id, incident_key, rule: which incident (templated).
        target: as `infra.targets.reference` takes it (templated).
    """

    template_fields: Sequence[str] = ("incident_id", "incident_key", "rule", "target")

    def __init__(
        self,
        *,
        states: Sequence[str] = ("resolved",),
        incident_id: str = "",
        incident_key: str = "",
        rule: str = "",
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.states, self.target = states, target
        self.incident_id, self.incident_key, self.rule = incident_id, incident_key, rule

    def trigger(self, deadline: float) -> PollingTrigger:
        """Reads the incidents from Kafka."""
        from vigil_airflow.triggers.incident import IncidentStateTrigger

        return IncidentStateTrigger(
            list(self.states), self.incident_id, self.incident_key, self.rule, self.target, deadline
        )
