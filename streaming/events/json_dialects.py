"""JSON objects of any dialect: the canonical schema's variants, ECS, OpenTelemetry, JSON formatters, Docker, Fluentd.

All dialects are read by one table of keys (json_keys.py), so that a record that mixes them is read as well. Rules:

- A record whose text is another event (`{"msg": {...}}`, Docker's `log` with JSON in it, a dict printed by Python) is
  read as that event, if it has no level or message type itself; what else the outer record holds completes it.
- A record without a level is read as a line of text as well: what its own keys do not say, its message may.
- A log that says no time gets the Forward protocol's, else the receive time; one without a level is INFO.
- A heartbeat without status says that its node is UP: it is alive enough to send it.
"""

from __future__ import annotations

import ast
import warnings
from typing import Final, NamedTuple

from streaming.events import json_text, lines
from streaming.events.json_keys import GROUPS, KEYS, plain
from streaming.events.labels import put
from streaming.events.model import Event, Heartbeat, Json, Level, LogEvent, NodeState, Registration, Unreadable
from streaming.events.times import time_of

NO_NODE_ID: Final = "no-node-id"
BAD_STATUS: Final = "bad-status"

Record = dict[str, Json]

_MAX_LAYERS: Final = 4
_MAX_GROUPS: Final = 5
"""Levels of nested objects whose keys are looked up; the deepest of ECS is log.syslog.severity.code."""

_MAX_REPR: Final = 16_384
_MAX_REPR_BRACKETS: Final = 200
"""Of a Python repr that is evaluated: the parser's cost and recursion stay small."""

_MAX_SHOWN: Final = 2_000
"""Characters of JSON shown as the message of a record that has none; all of it is under `labels`."""

_WRAPPERS: Final = frozenset(("msg", "message", "log", "record", "event", "payload", "data", "body"))
_LEVELS: Final = frozenset(key for key, meaning in KEYS.items() if meaning.field == "level") | {"messagetype"}
_TEXTS: Final = frozenset(key for key, meaning in KEYS.items() if meaning.field == "message")


class _Layer(NamedTuple):
    """A record, and its keys as json_keys.py spells them."""

    record: Record
    names: frozenset[str]


def read(record: Record, *, received_ns: int, event_ns: int = 0, tag: str = "") -> Event | Unreadable:
    """The event that the JSON object holds."""
    layers, unwrapped_text = _layers(record)
    kind = _kind(layers)
    if kind == "HEARTBEAT":
        return _heartbeat(layers, received_ns, event_ns)
    if kind == "REGISTRATION":
        return _registration(layers, received_ns, event_ns)
    reading = _Reading(received_ns)
    for layer in layers:
        reading.take(layer)
    return reading.log(_dialect(layers), unwrapped_text, layers[0].record, event_ns, tag)


# What the record is


def _layer(record: Record) -> _Layer:
    return _Layer(record, frozenset(map(plain, record)))


def _layers(record: Record) -> tuple[list[_Layer], str | None]:
    """The records within each other, innermost first, and the text that held one (None if none was a text)."""
    layers, text = [_layer(record)], None
    while len(layers) < _MAX_LAYERS:
        outer, names = layers[0]
        if not names.isdisjoint(_LEVELS) or names.isdisjoint(_WRAPPERS):
            break
        found = next(((key, inner) for key, value in outer.items() if (inner := _inner(key, value))), None)
        if found is None:
            break
        key, inner = found
        value = outer[key]
        if isinstance(value, str):
            text = text or value
        layers[0] = _layer({name: other for name, other in outer.items() if name != key})
        layers.insert(0, inner)
    return layers, text


def _inner(key: str, value: Json) -> _Layer | None:
    if plain(key) not in _WRAPPERS:
        return None
    inner = object_in(value) if isinstance(value, str) else value
    if not isinstance(inner, dict):
        return None
    layer = _layer(inner)
    is_event = "messagetype" in layer.names or not (layer.names.isdisjoint(_TEXTS) or layer.names.isdisjoint(_LEVELS))
    return layer if is_event else None


def object_in(text: str) -> Record | None:
    """The object that a text holds as JSON, or as the repr of a Python dict; None if it holds none."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        decoded = json_text.decode(stripped)
    except json_text.TooDeepError:
        return None
    value = _python_repr(stripped) if decoded is None else decoded.value
    return value if isinstance(value, dict) else None


def _python_repr(text: str) -> Json:
    if len(text) > _MAX_REPR or sum(map(text.count, "([{")) > _MAX_REPR_BRACKETS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of an escape in somebody's text
            value: Json = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return json_text.clean(value) if _is_json(value) else None


def _is_json(value: object) -> bool:
    """No tuples, sets, bytes, complex numbers or keys that are no text."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)


def _kind(layers: list[_Layer]) -> str:
    value = _first(layers, "messagetype")
    text = plain(value).upper() if isinstance(value, str) else ""
    return "REGISTRATION" if text in {"REGISTRATION", "REGISTER", "REGISTRY"} else text


def _dialect(layers: list[_Layer]) -> str:
    """For people who search; nothing depends on it."""
    names = frozenset[str]().union(*(layer.names for layer in layers))
    if names & {"messagetype", "loglevel"}:
        return "canonical"
    if names & {"severitynumber", "timeunixnano", "resource"} or ("severitytext" in names and "body" in names):
        return "otel"
    if "@timestamp" in names and names & {"log.level", "log", "ecs.version", "ecs"}:
        return "ecs"
    if "levelname" in names:
        return "python"
    return "docker" if {"log", "stream"} <= names else "json"


# Heartbeats and registrations


def _first(layers: list[_Layer], *names: str) -> Json:
    """The value of the first of these names that a layer has, the innermost layer's first."""
    for name in names:
        for layer in layers:
            if name in layer.names:
                for key, value in layer.record.items():
                    if plain(key) == name and value is not None:
                        return value
    return None


def _name(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def _status(value: Json) -> NodeState | None:
    text = value.strip().upper() if isinstance(value, str) else None
    return NodeState(text) if text in {"UP", "DOWN"} else None


def _when(layers: list[_Layer], received_ns: int, event_ns: int) -> int:
    for name in ("timestamp", "@timestamp", "time", "ts"):
        time_ns = time_of(_first(layers, name), received_ns=received_ns)
        if time_ns is not None:
            return time_ns
    return event_ns if event_ns > 0 else received_ns


def _heartbeat(layers: list[_Layer], received_ns: int, event_ns: int) -> Heartbeat | Unreadable:
    node_id = _name(_first(layers, "nodeid"))
    if not node_id:
        return Unreadable(reason=NO_NODE_ID, detail="a heartbeat without node_id")
    said = _first(layers, "status")
    status = NodeState.UP if said is None else _status(said)
    if status is None:
        return Unreadable(reason=BAD_STATUS, detail=f"heartbeat of {node_id[:200]} with status {said!r:.200}")
    seq = _first(layers, "seq")
    return Heartbeat(
        node_id=node_id,
        status=status,
        timestamp_ns=_when(layers, received_ns, event_ns),
        service=_name(_first(layers, "servicename", "service")) or None,
        seq=seq if isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < 2**63 else None,
        instance_id=_name(_first(layers, "instanceid")) or None,
    )


def _registration(layers: list[_Layer], received_ns: int, event_ns: int) -> Registration | Unreadable:
    node_id = _name(_first(layers, "nodeid"))
    if not node_id:
        return Unreadable(reason=NO_NODE_ID, detail="a registration without node_id")
    said = _first(layers, "status")
    status = None if said is None else _status(said)
    if said is not None and status is None:
        return Unreadable(reason=BAD_STATUS, detail=f"registration of {node_id[:200]} with status {said!r:.200}")
    return Registration(
        node_id=node_id,
        service=_name(_first(layers, "servicename", "service")),
        timestamp_ns=_when(layers, received_ns, event_ns),
        status=status,
        instance_id=_name(_first(layers, "instanceid")) or None,
    )


# Logs


class _Reading:
    """A log while its record is read: the fields found so far, and what is left over."""

    def __init__(self, received_ns: int) -> None:
        self._received_ns = received_ns
        self._fields: dict[str, object] = {}
        self._labels: Record = {}
        self._likely = False  # whether some key means a field where no surer key does

    def take(self, layer: _Layer) -> None:
        """Reads a record; what an inner one has said already is kept as a label."""
        self._likely = False
        rest = self._take(layer.record, "", 0, 1)
        if self._likely:
            rest = self._take(rest, "", 1, 1)
        for key, value in rest.items():
            if key == "labels" and isinstance(value, dict):
                for inner, item in value.items():
                    put(self._labels, inner, item)
            elif not (value == "LOG" and plain(key) == "messagetype"):
                put(self._labels, key, value)

    def _take(self, record: Record, prefix: str, rank: int, depth: int) -> Record:
        """Sets the fields that keys of this rank mean; returns what is left of the record."""
        rest: Record = {}
        for key, value in record.items():
            path = prefix + plain(key)
            group = GROUPS.get(path)
            if group is not None and depth <= _MAX_GROUPS:
                inside = _attributes(value) if isinstance(value, list) else value
                if isinstance(value, str) and path == "errordetails" and (told := object_in(value)) is not None:
                    self._take(told, group, rank, depth + 1)
                    rest[key] = value
                    continue
                if isinstance(inside, dict) and inside:
                    below = self._take(inside, group, rank, depth + 1)
                    if below:
                        rest[key] = below
                    continue
            if not self._set(path, value, rank):
                rest[key] = value
        return rest

    def _set(self, path: str, value: Json, rank: int) -> bool:
        """Whether a field now holds the whole value."""
        meaning = KEYS.get(path)
        if meaning is None:
            return False
        if meaning.rank != rank or meaning.field in self._fields:
            self._likely |= meaning.rank > rank
            return False
        found = meaning.read(value, self._received_ns)
        if found is None:
            return False
        self._fields[meaning.field] = found.value
        return found.whole

    def log(self, dialect: str, unwrapped: str | None, innermost: Record, event_ns: int, tag: str) -> LogEvent:
        """The log, completed by its text and by what came with it."""
        fields, original = self._fields, unwrapped
        message = fields.get("message")
        if isinstance(message, str) and "level" not in fields:
            line = lines.split(message, self._received_ns)
            if line.shape != lines.PLAIN:
                dialect = line.shape
            if line.message != message:
                original = original or message
            self._complete(line)
        elif message is None:
            shown = fields.get("error_message") or json_text.encode(innermost.get("body") or innermost)
            fields["message"] = str(shown)[:_MAX_SHOWN]
        source = "event"
        if "timestamp_ns" not in fields:
            fields["timestamp_ns"], source = (event_ns, "forward") if event_ns > 0 else (self._received_ns, "received")
        fields.setdefault("level", Level.INFO)
        if tag:
            fields.setdefault("service", tag)
        return LogEvent(**fields, labels=self._labels, original=original, time_source=source, dialect=dialect)  # type: ignore[arg-type]

    def _complete(self, line: lines.Line) -> None:
        """Takes from the line what the record's own keys do not say."""
        fields = self._fields
        fields["message"] = line.message
        for name in _OF_A_LINE:
            value = getattr(line, name)
            if value is not None:
                fields.setdefault(name, value)
        for key, value in (line.labels or {}).items():
            put(self._labels, key, value)


_OF_A_LINE: Final = (
    "timestamp_ns level logger thread process_id host http_method http_path http_status".split()  # noqa: SIM905
)


def _attributes(values: list[Json]) -> Record | None:
    """OTLP's `[{"key": K, "value": {"stringValue": V}}, ...]` as an object; None for any other list."""
    found: Record = {}
    for value in values:
        if not isinstance(value, dict) or value.keys() != {"key", "value"}:
            return None
        key, held = value["key"], value["value"]
        if not isinstance(key, str) or key in found:
            return None
        if isinstance(held, dict) and len(held) == 1 and next(iter(held)) in _OTLP_SCALARS:
            held = next(iter(held.values()))
        found[key] = held
    return found


_OTLP_SCALARS: Final = frozenset(("stringValue", "intValue", "doubleValue", "boolValue"))
