"""The fields of a log that rules may speak of, by their ECS names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from streaming.events.canonical import Canonical
from streaming.events.model import LogEvent

Getter = Callable[[LogEvent], str]
"""Reads one field as text; the empty string where the log has none."""

LABELS = "labels."
"""`labels.NAME` is whatever else the log carried under NAME."""

_GETTERS: dict[str, Getter] = {
    "service.name": lambda e: e.service,
    "service.node.name": lambda e: e.node_id,
    "host.name": lambda e: e.host or "",
    "message": lambda e: e.message,
    "log.level": lambda e: e.level.value,
    "log.logger": lambda e: e.logger or "",
    "error.code": lambda e: e.error_code or "",
    "error.message": lambda e: e.error_message or "",
    "event.id": lambda e: e.log_id or "",
    "trace.id": lambda e: e.trace_id or "",
    "http.request.method": lambda e: e.http_method or "",
    "http.response.status_code": lambda e: "" if e.http_status is None else str(e.http_status),
    "url.path": lambda e: e.http_path or "",
}

FIELD_NAMES: tuple[str, ...] = tuple(_GETTERS)
"""Every field but the labels."""

GROUP_VALUE_LIMIT = 200
"""Longest group value in characters; a longer one is cut and told apart by a hash of the whole."""


def is_field(name: str) -> bool:
    """Whether rules may speak of this field."""
    return name in _GETTERS or (name.startswith(LABELS) and len(name) > len(LABELS))


def getter(name: str) -> Getter:
    """How to read a field.

    Raises:
        KeyError: `is_field(name)` is false.
    """
    if name.startswith(LABELS):
        label = name.removeprefix(LABELS)
        return lambda e: _as_text(e.labels.get(label))
    return _GETTERS[name]


_CANONICAL_GETTERS: dict[str, Callable[[Canonical], str]] = {
    "service.name": lambda c: c.service_name,
    "service.node.name": lambda c: c.node_id,
    "host.name": lambda _: "",
    "message": lambda c: c.message,
    "log.level": lambda c: c.log_level,
    "log.logger": lambda c: c.logger or "",
    "error.code": lambda c: (c.error_details and c.error_details.error_code) or "",
    "error.message": lambda c: (c.error_details and c.error_details.error_message) or "",
    "event.id": lambda c: c.log_id or "",
    "trace.id": lambda c: c.trace_id or "",
    "http.request.method": lambda c: c.http_method or "",
    "http.response.status_code": lambda c: "" if c.http_status is None else str(c.http_status),
    "url.path": lambda c: c.http_path or "",
}


def canonical_getter(name: str) -> Callable[[Canonical], str]:
    """How to read a field of a log of the canonical schema before there is an event of it; no labels.

    Where the service is empty, or the status no 64-bit number, the event may hold another text than this says.
    """
    return (lambda _: "") if name.startswith(LABELS) else _CANONICAL_GETTERS[name]


def is_label_of_canonical(name: str) -> bool:
    """Whether canonical logs may have this label: one that departs a little keeps keys of its own as labels."""
    return name.startswith(LABELS) and name.removeprefix(LABELS).partition("#")[0] in Canonical.__struct_fields__


def group_of(event: LogEvent, names: tuple[str, ...]) -> dict[str, str]:
    """The group of an event: its values of these fields; a field that it lacks is left out."""
    values = ((name, getter(name)(event)) for name in names)
    return {name: bounded(value) for name, value in values if value}


def as_tree(event: LogEvent) -> dict[str, object]:
    """All fields, nested by the dots of their names, as templates read them: `{{ service.name }}`."""
    tree: dict[str, object] = {"labels": {key: _as_text(value) for key, value in event.labels.items()}}
    for name, get in _GETTERS.items():
        plant(tree, name, get(event))
    return tree


def plant(tree: dict[str, object], name: str, value: str) -> None:
    """Puts a value into a nested dictionary under a dotted name."""
    *branches, leaf = name.split(".")
    for branch in branches:
        below = tree.setdefault(branch, {})
        assert isinstance(below, dict), "no field is both a value and a branch"
        tree = below
    tree[leaf] = value


def _as_text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def bounded(value: str) -> str:
    """A value as groups hold it: a long one is cut, and told apart by a hash."""
    if len(value) <= GROUP_VALUE_LIMIT:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{value[: GROUP_VALUE_LIMIT - 13]}~{digest}"
