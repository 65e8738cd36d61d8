"""What rules about incidents see of one: whether it counts, and its fields."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.alerting.fields import LABELS, plant
from streaming.alerting.messages import Incident, IncidentState
from streaming.alerting.rules.incident_conditions import attribute

_NOT_STANDING = (IncidentState.PENDING, IncidentState.RESOLVED)

GONE = "its rule is no longer in force"
"""Why an incident of a rule about incidents is over when the rule was taken away."""

_SHOWN = ("service.name", "service.node.name")


def is_standing(incident: Incident | None) -> bool:
    """Whether it counts as open: acknowledged and silenced ones do; one that is pending does not yet."""
    return incident is not None and incident.state not in _NOT_STANDING


def template_fields(incident: Incident, values: Mapping[str, str]) -> dict[str, object]:
    """What templates read of it: `service.name` and `service.node.name`, its `message` (its title), and `values`
    under their own names."""
    labels: dict[str, str] = {}
    tree: dict[str, object] = {"labels": labels}
    for name, value in ({name: attribute(incident, name) for name in _SHOWN} | dict(values)).items():
        if name.startswith(LABELS):
            labels[name.removeprefix(LABELS)] = value
        else:
            plant(tree, name, value)
    tree["message"] = incident.title
    return tree
