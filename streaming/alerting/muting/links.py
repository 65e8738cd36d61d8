"""How open incidents mute others: inhibitions, dependencies of services, flapping.

An incident has *places* at which it may be muted and at which it mutes others, each named by what both must agree
in; whatever mutes is found there without a look at any other incident (`index.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from streaming.alerting.messages import Incident, Severity
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.flapping import KEY_LABEL
from streaming.alerting.rules.incident_conditions import IncidentCondition, attribute
from streaming.alerting.rules.muting import Dependency, Inhibition

Place = tuple[str, ...]
Targets = Mapping[Place, Iterable[str]]
"""By place: keys of the incidents that may be muted there."""

BREAKS = (Severity.ERROR, Severity.CRITICAL)
"""Severities of incidents with which a service counts as broken."""


FEW = ("rule", "kind", "severity", "owner")
"""Attributes that have few values."""
_Few = tuple[str, str, str, str]
_Left = list[tuple[str, TextCondition]]
REMEMBERED = 10_000
"""Combinations of these: of a thousand rules, and of whatever else comes."""


class Link(Protocol):
    """One way in which incidents mute others. Pure: the same incident has the same places."""

    def mutes_at(self, incident: Incident) -> Sequence[Place]:
        """Where it mutes others."""

    def stands_at(self, incident: Incident) -> Sequence[Place]:
        """Where it is registered, so that `reached` finds it."""

    def muted_at(self, incident: Incident) -> Sequence[Place]:
        """Where something would mute it; the first such place counts."""

    def reached(self, place: Place, targets: Targets) -> Iterable[str]:
        """Keys of the incidents that something at this place mutes."""

    def said(self, place: Place, incident_id: str) -> str:
        """`Incident.muted_by` of what is muted there by this incident."""


class InhibitionLink:
    """All inhibitions together, in the order of their files. What fits the source and the target of one both is muted
    by no other of which that is true, so that two incidents never mute each other by it, nor one itself."""

    def __init__(self, inhibitions: Sequence[Inhibition]) -> None:
        self._inhibitions = tuple(inhibitions)
        self._concerned: dict[_Few, list[_Concern]] = {}

    def mutes_at(self, incident: Incident) -> Sequence[Place]:
        """With what is equal; for those that are sources themselves only where it is no target."""
        places: list[Place] = []
        for one in self._of(incident):
            if one.is_source(incident):
                equal = one.equal(incident)
                places.append((one.name, "all", *equal))
                if not one.is_target(incident):
                    places.append((one.name, "no target", *equal))
        return places

    def stands_at(self, incident: Incident) -> Sequence[Place]:
        """Where it is muted."""
        return self.muted_at(incident)

    def muted_at(self, incident: Incident) -> Sequence[Place]:
        """One place for each inhibition that it is a target of."""
        return [
            (one.name, "no target" if one.is_source(incident) else "all", *one.equal(incident))
            for one in self._of(incident)
            if one.is_target(incident)
        ]

    def reached(self, place: Place, targets: Targets) -> Iterable[str]:
        """Those that stand there."""
        return targets.get(place, ())

    def said(self, place: Place, incident_id: str) -> str:  # noqa: ARG002
        """Names the incident."""
        return f"inhibited by {incident_id}"

    def _of(self, incident: Incident) -> list[_Concern]:
        """The inhibitions that may concern it, with what is left to be asked. A flood of incidents comes of few rules,
        for each of which the rest is asked once."""
        few = (incident.rule_id, incident.rule_kind, incident.severity.value, incident.owner)
        found = self._concerned.get(few)
        if found is None:
            all_of_them = [_Concern(str(n), one, few) for n, one in enumerate(self._inhibitions)]
            found = [one for one in all_of_them if not (one.source is None and one.target is None)]
            if len(self._concerned) < REMEMBERED:
                self._concerned[few] = found
        return found


class _Concern:
    """An inhibition as it concerns incidents with some values of `FEW`: what else `source` and `target` ask of them,
    None where they cannot be it."""

    def __init__(self, name: str, inhibition: Inhibition, few: _Few) -> None:
        self.name, self._equal = name, inhibition.equal
        self.source, self.target = _left(inhibition.source, few), _left(inhibition.target, few)

    def is_source(self, incident: Incident) -> bool:
        """Whether it mutes others."""
        return self.source is not None and _all_fit(self.source, incident)

    def is_target(self, incident: Incident) -> bool:
        """Whether others mute it."""
        return self.target is not None and _all_fit(self.target, incident)

    def equal(self, incident: Incident) -> Place:
        """In what both must agree."""
        return tuple([attribute(incident, name) for name in self._equal])


def _left(condition: IncidentCondition, few: _Few) -> _Left | None:
    values = dict(zip(FEW, few, strict=True))
    if not all(text.fits(values[name]) for name, text in condition.where.items() if name in values):
        return None
    return [(name, text) for name, text in condition.where.items() if name not in values]


def _all_fit(left: _Left, incident: Incident) -> bool:
    return all(text.fits(attribute(incident, name)) for name, text in left) if left else True


class DependencyLink:
    """All dependencies together: what a service needs, others need in turn. Services that need each other do not mute
    one another, else nobody would be told of either."""

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        self._needs = _needs(dependencies)
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        for service, needed in self._needs.items():
            for other in needed:
                self._needed_by[other].append(service)

    def mutes_at(self, incident: Incident) -> Sequence[Place]:
        """At its service, where that is needed and the incident breaks it."""
        service = attribute(incident, "service.name")
        return ((service,),) if incident.severity in BREAKS and service in self._needed_by else ()

    def stands_at(self, incident: Incident) -> Sequence[Place]:
        """At its service."""
        service = attribute(incident, "service.name")
        return ((service,),) if service in self._needs else ()

    def muted_at(self, incident: Incident) -> Sequence[Place]:
        """At all that its service needs; what others need in turn comes first, since that is the root."""
        return [(service,) for service in self._needs.get(attribute(incident, "service.name"), ())]

    def reached(self, place: Place, targets: Targets) -> Iterable[str]:
        """The incidents of all services that need it."""
        for service in self._needed_by.get(place[0], ()):
            yield from targets.get((service,), ())

    def said(self, place: Place, incident_id: str) -> str:
        """Names the service that is broken."""
        return f"{place[0]} is broken: {incident_id}"


class FlappingLink:
    """An open incident of a flapping rule mutes the one that flaps."""

    def mutes_at(self, incident: Incident) -> Sequence[Place]:
        """At the key that it names."""
        key = incident.labels.get(KEY_LABEL)
        return ((key,),) if incident.rule_kind == "flapping" and key else ()

    def stands_at(self, incident: Incident) -> Sequence[Place]:  # noqa: ARG002
        """Nowhere: the place says which it is."""
        return ()

    def muted_at(self, incident: Incident) -> Sequence[Place]:
        """At its own key; a flapping one is never said to flap."""
        return () if incident.rule_kind == "flapping" else ((incident.incident_key,),)

    def reached(self, place: Place, targets: Targets) -> Iterable[str]:  # noqa: ARG002
        """The one of that key."""
        return place

    def said(self, place: Place, incident_id: str) -> str:  # noqa: ARG002
        """Names the incident that tells of it."""
        return f"flapping: {incident_id}"


def _needs(dependencies: Sequence[Dependency]) -> dict[str, tuple[str, ...]]:
    """All that each service needs, directly or not, but not what needs it in turn; roots first."""
    direct: dict[str, list[str]] = defaultdict(list)
    for dependency in dependencies:
        direct[dependency.service] += dependency.needs
    reach = {service: _reach(service, direct) for service in direct}
    above = {
        service: {other for other in reached if service not in reach.get(other, ())}
        for service, reached in reach.items()
    }
    return {
        service: tuple(sorted(others, key=lambda other: (len(above.get(other, ())), other)))
        for service, others in above.items()
        if others
    }


def _reach(service: str, direct: Mapping[str, Sequence[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = list(direct.get(service, ()))
    while ahead:
        other = ahead.pop()
        if other not in reached:
            reached.add(other)
            ahead += direct.get(other, ())
    return reached
