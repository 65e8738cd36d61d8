"""What filters do to an event: `record_transformer` and `parser`, compiled for a tag. Pure and repeatable.

A stored chunk is converted again after a crash and must give the same bytes. So "now" is the time when the chunk was
received, and the host's name is that of the start. No record that is handed in is changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from streaming.accumulator.configuration.filters import (
    FilterRule,
    Grep,
    KeyPath,
    ParserFilter,
    RecordTransformer,
    text_at,
)
from streaming.accumulator.configuration.template import Array, Hash, Placeholder, Template, Value
from streaming.accumulator.delivery.events import calendar_ns
from streaming.accumulator.parsers.fields import Unparsed
from streaming.accumulator.parsers.parser import parser_of

if TYPE_CHECKING:
    from streaming.events.model import Json

_NS = 1_000_000_000
_LATEST_NS = 2**32 * _NS
"""Event times of the Forward protocol have 32 bits of seconds."""
_RUBY_FLOAT = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")


class Working(NamedTuple):
    """An event between two filters. `now_ns` is when its chunk was received."""

    time_ns: int
    record: dict[str, Json]
    now_ns: int


class Refused(Exception):
    """A filter cannot read an event; the message says which and why. It goes to the dead letters, unchanged."""


Step = Callable[[Working], Working | None]
"""A filter. None: the event ends here, on purpose. Raises Refused."""


class Steps:
    """Makes filters ready for the events of a tag. What no tag decides is made once: a parser remembers the times that
    it has read, and tags come from outside, without an end."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._parsers: dict[ParserFilter, Step] = {}

    def of(self, rule: FilterRule, tag: str) -> Step:
        """One filter for one tag."""
        if isinstance(rule, Grep):
            return lambda event: event if rule.passes(event.record) else None
        if isinstance(rule, RecordTransformer):
            return _Transform(rule, tag, self._hostname)
        found = self._parsers.get(rule)
        if found is None:
            found = self._parsers[rule] = _Parse(rule)
        return found


class _Parse:
    def __init__(self, rule: ParserFilter) -> None:
        self._rule, self._parser = rule, parser_of(rule.parse)

    def __call__(self, event: Working) -> Working | None:
        rule = self._rule
        try:
            time_ns, fields = self._read(event)
        except Unparsed as error:
            if rule.reserve_data:  # nothing is lost, so nothing goes to the dead letters
                return event._replace(record=self._put(event.record, {}))
            if rule.emit_invalid_record_to_error:
                raise Refused(f"filter parser: {'.'.join(rule.key)}: {error}") from error
            return None
        record = without(event.record, rule.key) if rule.remove_key_name_field else event.record
        if time_ns is None or rule.reserve_time:
            time_ns = event.time_ns
        return Working(time_ns, self._put(record, fields), event.now_ns)

    def _read(self, event: Working) -> tuple[int | None, dict[str, Json]]:
        value = _value_at(event.record, self._rule.key)
        if not isinstance(value, str):
            raise Unparsed("not there" if value is None else "no text")
        found = self._parser.parse(value, event.now_ns)
        if len(found) != 1:
            raise Unparsed(f"{len(found)} events in one, which has one place in the sequence")
        return found[0]

    def _put(self, record: dict[str, Json], fields: dict[str, Json]) -> dict[str, Json]:
        rule = self._rule
        if rule.inject_key_prefix:
            fields = {rule.inject_key_prefix + name: value for name, value in fields.items()}
        if rule.hash_value_field is not None:
            fields = {rule.hash_value_field: fields}
        return {**record, **fields} if rule.reserve_data else fields


class _Transform:
    def __init__(self, rule: RecordTransformer, tag: str, hostname: str) -> None:
        self._rule = rule
        expand = _Expander(tag, hostname, typecast=rule.auto_typecast)
        self._pairs = [(expand.text(name), expand.value(value)) for name, value in rule.record.pairs]

    def __call__(self, event: Working) -> Working:
        rule, old = self._rule, event.record
        new = {key: old[key] for key in rule.keep_keys if key in old} if rule.renew_record else dict(old)
        new |= {name(event): value(event) for name, value in self._pairs}
        time_ns = event.time_ns
        if rule.renew_time_key is not None and rule.renew_time_key in new:
            time_ns = _seconds(new[rule.renew_time_key], rule.renew_time_key)
        for keys in rule.remove_keys:
            new = without(new, keys)
        return Working(time_ns, new, event.now_ns)


class _Expander:
    """Turns templates into functions of an event; what the tag decides is decided here."""

    def __init__(self, tag: str, hostname: str, *, typecast: bool) -> None:
        self._tag, self._hostname, self._typecast = tag, hostname, typecast
        self._parts = tag.split(".")

    def value(self, value: Value) -> Callable[[Working], Json]:
        if isinstance(value, Template):
            single = value.single if self._typecast else None
            return self.text(value) if single is None else self._placeholder(single)
        if isinstance(value, Array):
            items = [self.value(item) for item in value.items]
            return lambda event: [item(event) for item in items]
        if isinstance(value, Hash):
            pairs = [(self.text(name), self.value(item)) for name, item in value.pairs]
            return lambda event: {name(event): item(event) for name, item in pairs}
        return lambda _: value

    def text(self, template: Template) -> Callable[[Working], str]:
        if all(isinstance(part, str) for part in template.parts):
            constant = "".join(part for part in template.parts if isinstance(part, str))
            return lambda _: constant
        parts = [part if isinstance(part, str) else self._placeholder(part) for part in template.parts]
        return lambda event: "".join(part if isinstance(part, str) else _said(part(event)) for part in parts)

    def _placeholder(self, placeholder: Placeholder) -> Callable[[Working], Json]:
        if placeholder.kind == "record":
            key = placeholder.key
            return lambda event: event.record.get(key)
        if placeholder.kind == "time":
            return lambda event: _local_time(calendar_ns(event.time_ns, event.now_ns) // _NS)
        constant = self._of_tag(placeholder)
        return lambda _: constant

    def _of_tag(self, placeholder: Placeholder) -> str | None:
        """None for a part that the tag has not, as in Fluentd."""
        if placeholder.kind == "tag":
            return self._tag
        if placeholder.kind == "hostname":
            return self._hostname
        index, count = placeholder.index, len(self._parts)
        if not -count <= index < count:
            return None
        index %= count
        if placeholder.kind == "tag_parts":
            return self._parts[index]
        chosen = self._parts[: index + 1] if placeholder.kind == "tag_prefix" else self._parts[index:]
        return ".".join(chosen)


def _said(value: Json) -> str:
    return value if isinstance(value, str) else text_at({"": value}, ("",))


@lru_cache(maxsize=1024)
def _local_time(second: int) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _seconds(value: Json, name: str) -> int:
    """As Ruby's `to_f`: the number that a text begins with, else 0."""
    found = _RUBY_FLOAT.match(value) if isinstance(value, str) else None
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(value, str):
        number = float(found[1]) if found else 0.0
    if number is None or not math.isfinite(number) or not 0 <= number * _NS < _LATEST_NS:
        raise Refused(f"filter record_transformer: {name}: no time in seconds: {value!r:.80}")
    return number * _NS if isinstance(number, int) else round(number * 1_000_000) * 1_000


def _value_at(record: Json, keys: KeyPath) -> Json:
    for key in keys:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record


def without(record: dict[str, Json], keys: KeyPath) -> dict[str, Json]:
    """The record less what these keys lead to; the record itself is left as it is."""
    first, *rest = keys
    if first not in record:
        return record
    if not rest:
        return {key: value for key, value in record.items() if key != first}
    inner = record[first]
    return {**record, first: without(inner, tuple(rest))} if isinstance(inner, dict) else record
