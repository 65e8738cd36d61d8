"""Waits for an incident to be in some state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from streaming.errors import ConfigError
from vigil_airflow.hooks import VigilHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from streaming.alerting.messages import Incident


class IncidentStateTrigger(PollingTrigger):
    """Fires when an incident is in one of `states`, as the alert manager last committed it.

    The incident is named by exactly one of three: its id, its key (rule and group, the same when it comes back), or
    its rule. Of several, the one that was opened last counts. One that is not there is waited for.

    Args:
        states: of pending, firing, acknowledged, silenced, resolved.
        incident_id, incident_key, rule: which incident; two of them empty.
        target: as `infra.targets.reference` takes it.
        deadline: seconds since the epoch.
    """

    def __init__(
        self, states: Sequence[str], incident_id: str, incident_key: str, rule: str, target: str, deadline: float
    ) -> None:
        super().__init__(deadline)
        self.states, self.target = tuple(states), target
        self.incident_id, self.incident_key, self.rule = incident_id, incident_key, rule

    def arguments(self) -> dict[str, Any]:
        """As given."""
        return {
            "states": list(self.states),
            "incident_id": self.incident_id,
            "incident_key": self.incident_key,
            "rule": self.rule,
            "target": self.target,
        }

    def look(self) -> Seen:
        """Reads the incidents."""
        from streaming.alerting.messages import IncidentState
        from streaming.alerting.state import read_incidents

        if len([name for name in (self.incident_id, self.incident_key, self.rule) if name]) != 1:
            raise ConfigError("which incident?", remedy="Give one of incident_id, incident_key and rule")
        unknown = set(self.states) - set(IncidentState)
        if unknown or not self.states:
            raise ConfigError(
                f"no such state: {', '.join(sorted(unknown)) or 'none given'}",
                remedy=f"There are: {', '.join(IncidentState)}",
            )
        return self.judge(read_incidents(VigilHook(self.target).settings))

    def judge(self, incidents: Iterable[Incident]) -> Seen:
        """What these incidents, the latest first, say."""
        found = next((incident for incident in incidents if self._is_meant(incident)), None)
        if found is None:
            named = self.incident_id or self.incident_key or f"rule {self.rule}"
            return Seen(Outcome.WAITING, f"there is no incident of {named}")
        text = f"incident {found.incident_id} of rule {found.rule_id} is {found.state}"
        return Seen(Outcome.MET if found.state in self.states else Outcome.WAITING, text)

    def _is_meant(self, incident: Incident) -> bool:
        return (
            incident.incident_id == self.incident_id
            or incident.incident_key == self.incident_key
            or incident.rule_id == self.rule
        )
