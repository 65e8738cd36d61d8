"""Conditions on incidents: what routes, inhibitions and maintenance windows choose by."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from streaming.alerting.fields import FIELD_NAMES, is_field
from streaming.alerting.messages import Incident
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.pipeline_health import CHECK_FIELD, WORKER_FIELD
from streaming.alerting.rules.strict import Strict

ATTRIBUTES = (
    "rule",
    "kind",
    "severity",
    "owner",
    "incident",
    "service.name",
    "service.node.name",
    CHECK_FIELD,
    WORKER_FIELD,
)
LABEL = "labels."


def known_attribute(name: str) -> str:
    """The name, where it is one of an attribute.

    Raises:
        ValueError: it is none; with what was perhaps meant.
    """
    if name in ATTRIBUTES or is_field(name):
        return name
    close = difflib.get_close_matches(name, (*ATTRIBUTES, *FIELD_NAMES), n=1, cutoff=0.5)
    meant = f"did you mean {close[0]}?" if close else f"possible: {', '.join(ATTRIBUTES)}, labels.NAME, a field"
    raise ValueError(f"{name!r} is no attribute of incidents; {meant}")


AttributeName = Annotated[str, AfterValidator(known_attribute)]


def attribute(incident: Incident, name: str) -> str:
    """An attribute of an incident as text; empty where it has none.

    `rule`, `kind` (of its rule), `severity`, `owner`; `incident` is its key: rule and group; `labels.NAME` is a label
    of its rule, or else of its group; `service.name` and `service.node.name` are those of its group, or else of its
    sample; any other name is a field of its group.
    """
    if name == "rule":
        return incident.rule_id
    if name == "kind":
        return incident.rule_kind
    if name == "incident":
        return incident.incident_key
    if name == "severity":
        return incident.severity.value
    if name == "owner":
        return incident.owner
    if name.startswith(LABEL) and (label := incident.labels.get(name.removeprefix(LABEL))) is not None:
        return label
    found = incident.group.get(name)
    if found is None and name == "service.name":
        return incident.sample.service
    if found is None and name == "service.node.name":
        return incident.sample.node_id
    return found or ""


class IncidentCondition(Strict):
    """Which incidents are meant: conditions on their attributes, all of which must hold."""

    where: dict[AttributeName, TextCondition] = Field(
        description="conditions on rule, kind, severity, owner, incident, a field of the group, or labels.NAME"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> IncidentCondition:
        if not self.where:
            raise ValueError("where: asks nothing, and so would mean every incident")
        return self

    def fits(self, incident: Incident) -> bool:
        """Whether an incident is meant."""
        return all(condition.fits(attribute(incident, name)) for name, condition in self.where.items())
