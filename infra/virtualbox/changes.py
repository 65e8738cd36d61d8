"""What a plan of Terraform would do, for the person who is asked whether it may. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from streaming import decoding
from streaming.errors import VigilError


class Action(StrEnum):
    """What is done to one thing."""

    MAKE = "make"
    CHANGE = "change"
    REMAKE = "make anew"
    DESTROY = "destroy"


@dataclass(frozen=True)
class Change:
    """One line of the table. `what` it is done to, such as "machine producer"; `why` names what differs, `lost` what
    nobody has afterwards; both may be empty."""

    action: Action
    what: str
    why: str
    lost: str


class _Values(msgspec.Struct):
    triggers_replace: dict[str, object] | None = None


class _Difference(msgspec.Struct):
    actions: list[str]
    before: _Values | None = None
    after: _Values | None = None


class _Resource(msgspec.Struct):
    name: str
    change: _Difference
    index: str | int | None = None
    action_reason: str = ""


class _Output(msgspec.Struct):
    value: object = None


class _Planned(msgspec.Struct):
    outputs: dict[str, _Output] = {}


class _Plan(msgspec.Struct):
    resource_changes: list[_Resource] = []
    planned_values: _Planned = msgspec.field(default_factory=_Planned)


@dataclass(frozen=True)
class Planned:
    """What a plan would do, and the outputs there would be."""

    changes: tuple[Change, ...]
    outputs: Mapping[str, object]


_ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): Action.MAKE,
    ("update",): Action.CHANGE,
    ("delete",): Action.DESTROY,
    ("delete", "create"): Action.REMAKE,
    ("create", "delete"): Action.REMAKE,
}

_NAMES = {"network": "NAT network", "forwards": "port forwards of", "image": "disk image", "machine": "machine"}

_REASONS = {
    "replace_by_request": "is not there any more, or was asked for",
    "replace_because_tainted": "was made only half the last time",
    "delete_because_each_key": "is not among the nodes any more",
}

_ORDER = tuple(_NAMES)


def read(plan: bytes) -> Planned:
    """From the JSON of `terraform show -json`.

    Raises:
        VigilError: it is of another shape; the text names the field.
    """
    try:
        found = decoding.decode(plan, _Plan)
    except msgspec.DecodeError as error:
        raise VigilError(f"the plan cannot be read: {error}. Is it of a Terraform from 1.6 on?") from error
    changes = [(resource, action) for resource in found.resource_changes if (action := _action(resource)) is not None]
    changes.sort(key=lambda item: (_ORDER.index(item[0].name) if item[0].name in _ORDER else 99, str(item[0].index)))
    outputs = {name: output.value for name, output in found.planned_values.outputs.items()}
    return Planned(tuple(_change(resource, action) for resource, action in changes), outputs)


def _action(resource: _Resource) -> Action | None:
    return _ACTIONS.get(tuple(resource.change.actions))


def _change(resource: _Resource, action: Action) -> Change:
    what = _NAMES.get(resource.name, resource.name)
    if resource.index is not None:
        what += f" {resource.index}"
    gone = action in (Action.REMAKE, Action.DESTROY) and resource.name == "machine"
    return Change(action, what, _why(resource, action), "its disk, with all that is on it" if gone else "")


def _why(resource: _Resource, action: Action) -> str:
    if resource.action_reason in _REASONS:
        return _REASONS[resource.action_reason]
    if action not in (Action.REMAKE, Action.CHANGE):
        return ""
    before, after = resource.change.before, resource.change.after
    old = (before.triggers_replace if before else None) or {}
    new = (after.triggers_replace if after else None) or {}
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(_difference(name, old.get(name), new.get(name)) for name in differing)


def _difference(name: str, old: object, new: object) -> str:
    """Plain values are shown; what is long or not known before it is made is only named."""
    if all(isinstance(value, str | int | float) and len(str(value)) <= 40 for value in (old, new)):
        return f"{name} {old} becomes {new}"
    return f"{name} differs"


def table(changes: Sequence[Change]) -> str:
    """As Markdown, for Airflow's screens."""
    if not changes:
        return "Nothing is changed.\n"
    rows = [["", "what", "why", "what is lost"], ["---"] * 4]
    rows += [[f"**{one.action}**", one.what, one.why, one.lost] for one in changes]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def lines(changes: Iterable[Change]) -> list[str]:
    """For a log or a terminal."""
    return [
        f"{one.action:9} {one.what}"
        + (f" ({one.why})" if one.why else "")
        + (f"; lost: {one.lost}" if one.lost else "")
        for one in changes
    ] or ["nothing is changed"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
