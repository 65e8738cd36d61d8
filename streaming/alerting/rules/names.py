"""Names in rule files: each given once, and none referred to that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streaming.alerting.rules.composite import CompositeRule
from streaming.alerting.rules.faults import nearest
from streaming.alerting.rules.flapping import FlappingRule
from streaming.alerting.rules.routes import BUILT_IN_RECEIVERS, BUILT_IN_ROUTES, SHOW_LIFE
from streaming.alerting.rules.ruleset import RuleFile
from streaming.alerting.rules.yaml_lines import Lines, Location, dotted, line_of
from streaming.errors import ConfigError

_NAMED = {
    "rules": "id",
    "receivers": "name",
    "routes": "name",
    "people": "name",
    "rotations": "name",
    "maintenance": "name",
    "inhibitions": "name",
    "inventory": "node",
    "retention": "name",
}
_WHAT = {
    "rules": "a rule",
    "receivers": "a receiver",
    "routes": "a route",
    "people": "a person",
    "rotations": "a rotation",
    "maintenance": "a maintenance window",
    "inhibitions": "an inhibition",
    "inventory": "an expected node",
    "retention": "a retention class",
}
_TAKEN = {"receivers": BUILT_IN_RECEIVERS, "routes": ("canary",), "retention": ("default",)}
"""Names of what is built in and cannot be given anew; a route `default` can."""


class ReadFile(NamedTuple):
    """A rule file that is good by itself."""

    file: Path
    content: RuleFile
    lines: Lines


class _Reference(NamedTuple):
    """At `place` a name is used that must be one of `kinds`."""

    place: Location
    name: str
    kinds: tuple[str, ...]


def check_names(files: Sequence[ReadFile]) -> None:
    """Checks all files together.

    Raises:
        ConfigError: a name is given twice, or one is used that is not there; with its place.
    """
    known = _given(files)
    for one in files:
        for reference in _references(one.content):
            names = [name for kind in reference.kinds for name in known[kind]]
            if reference.name not in names:
                what = " or ".join(_WHAT[kind].partition(" ")[2] for kind in reference.kinds)
                raise ConfigError(
                    f"there is no {what} {reference.name!r}",
                    file=one.file,
                    line=line_of(one.lines, reference.place),
                    field=dotted(reference.place),
                    remedy=nearest(reference.name, names) if names else None,
                )
    _check_circles(files)
    _check_dead_man(files)
    _check_flapping(files)


def _given(files: Sequence[ReadFile]) -> dict[str, dict[str, str]]:
    """By kind: the names, and where each is given."""
    known: dict[str, dict[str, str]] = {kind: {} for kind in _NAMED}
    for one in files:
        for kind, key in _NAMED.items():
            for index, entry in enumerate(getattr(one.content, kind)):
                name, line = str(getattr(entry, key)), line_of(one.lines, (kind, index, key))
                if name in known[kind] or name in _TAKEN.get(kind, ()):
                    raise ConfigError(
                        f"{name!r} is {_WHAT[kind]} already",
                        file=one.file,
                        line=line,
                        field=key,
                        remedy=known[kind].get(name, "It is built in; take another name"),
                    )
                known[kind][name] = f"The first is at {one.file}:{line}"
    dead_men = [one for one in files if one.content.dead_man]
    if len(dead_men) > 1:
        second = dead_men[1]
        raise ConfigError(
            "is given in two files",
            file=second.file,
            line=line_of(second.lines, ("dead_man",)),
            field="dead_man",
            remedy=f"The first is at {dead_men[0].file}:{line_of(dead_men[0].lines, ('dead_man',))}",
        )
    known["receivers"] |= dict.fromkeys(BUILT_IN_RECEIVERS, "")
    known["routes"] |= dict.fromkeys(BUILT_IN_ROUTES, "")
    return known


def _references(content: RuleFile) -> Iterator[_Reference]:
    for at, rule in enumerate(content.rules):
        if rule.route:
            yield _Reference(("rules", at, "route"), rule.route, ("routes",))
        if isinstance(rule, CompositeRule):
            for key, names in (("all_of", rule.all_of), ("any_of", rule.any_of), ("none_of", rule.none_of)):
                yield from _each(("rules", at, key), names, ("rules",))
        if isinstance(rule, FlappingRule):
            yield from _each(("rules", at, "rules"), rule.rules, ("rules",))
    for at, route in enumerate(content.routes):
        yield from _each(("routes", at, "receivers"), route.receivers, ("receivers",))
        yield from _each(("routes", at, "fallback"), route.fallback, ("receivers",))
        yield from _each(("routes", at, "may_acknowledge"), route.may_acknowledge, ("people", "rotations"))
        if route.on_call:
            yield _Reference(("routes", at, "on_call"), route.on_call, ("rotations",))
        for number, step in enumerate(route.escalate):
            yield from _each(("routes", at, "escalate", number, "to"), step.to, ("receivers",))
            if step.on_call:
                yield _Reference(("routes", at, "escalate", number, "on_call"), step.on_call, ("rotations",))
    for at, rotation in enumerate(content.rotations):
        yield from _each(("rotations", at, "people"), rotation.people, ("people",))
        for number, override in enumerate(rotation.overrides):
            yield _Reference(("rotations", at, "overrides", number, "person"), override.person, ("people",))
    if content.dead_man:
        yield _Reference(("dead_man", "receiver"), content.dead_man.receiver, ("receivers",))


def _each(place: Location, names: Sequence[str], kinds: tuple[str, ...]) -> Iterator[_Reference]:
    for index, name in enumerate(names):
        yield _Reference((*place, index), name, kinds)


def _check_circles(files: Sequence[ReadFile]) -> None:
    """Composite rules may be made of others, but none of itself."""
    parts: dict[str, tuple[str, ...]] = {}
    where: dict[str, tuple[ReadFile, Location]] = {}
    for one in files:
        for at, rule in enumerate(one.content.rules):
            if isinstance(rule, CompositeRule):
                parts[rule.id], where[rule.id] = rule.parts, (one, ("rules", at, "id"))
    for start in parts:
        ahead, seen = list(parts[start]), set[str]()
        while ahead:
            name = ahead.pop()
            if name == start:
                one, place = where[start]
                raise ConfigError(
                    f"{start!r} is made of itself", file=one.file, line=line_of(one.lines, place), field=dotted(place)
                )
            if name not in seen:
                seen.add(name)
                ahead += parts.get(name, ())


def _check_flapping(files: Sequence[ReadFile]) -> None:
    """A flapping incident tells which one flaps by that one's rule and group; one that flaps itself has the same."""
    flapping = {rule.id for one in files for rule in one.content.rules if isinstance(rule, FlappingRule)}
    for one in files:
        for at, rule in enumerate(one.content.rules):
            watched = rule.rules if isinstance(rule, FlappingRule) else ()
            for index, name in enumerate(watched):
                if name in flapping:
                    place: Location = ("rules", at, "rules", index)
                    raise ConfigError(
                        f"{name!r} is of kind flapping, too",
                        file=one.file,
                        line=line_of(one.lines, place),
                        field=dotted(place),
                        remedy="A flapping rule watches rules of other kinds",
                    )


def _check_dead_man(files: Sequence[ReadFile]) -> None:
    """Its receiver is of a kind that can show life: a page every minute, or a message in a channel, is none."""
    kinds = {receiver.name: receiver.kind for one in files for receiver in one.content.receivers}
    for one in files:
        dead_man = one.content.dead_man
        if dead_man and kinds.get(dead_man.receiver, dead_man.receiver) not in SHOW_LIFE:
            place = ("dead_man", "receiver")
            raise ConfigError(
                f"receiver {dead_man.receiver!r} cannot show life",
                file=one.file,
                line=line_of(one.lines, place),
                field=dotted(place),
                remedy=f"Possible: a receiver of kind {', '.join(SHOW_LIFE)}",
            )
