"""Where an event goes: a plan's pipelines, compiled once for each tag.

Where no filter changes events (the usual case), outputs are decided once for each kind of record and remembered.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import orjson

from streaming.accumulator.configuration.filters import FilterRule, Grep, text_at
from streaming.accumulator.configuration.plan import Copy, Filter, Match, Output, Pipeline, Plan, Relabel
from streaming.accumulator.delivery.events import Event
from streaming.accumulator.delivery.transform import Refused, Steps, Working

if TYPE_CHECKING:
    from streaming.events.model import Json

_TAGS_KEPT = 10_000
_VERDICTS_KEPT = 1_000
"""Tags and values come from outside; these bound what is remembered of them."""


class _Branch(NamedTuple):
    """Filters in their order, and what comes behind the `<match>` that follows them."""

    filters: tuple[FilterRule, ...]
    ends: tuple[Output | _Branch, ...]


class _Path(NamedTuple):
    greps: tuple[Grep, ...]
    output: Output


class TagRoutes:
    """Routes of one tag. `matched` is false where no `<match>` takes the tag at all.

    `changes`: a filter changes events, so `delivered` says what goes where; else `outputs` does, and is faster.
    """

    def __init__(self, branch: _Branch | None, tag: str, steps: Steps) -> None:
        self.matched = branch is not None
        paths = _plain_paths(branch) if branch else []
        self.changes = paths is None
        self._changing = _Changing(branch, tag, steps) if branch and self.changes else None
        self._paths = paths or []
        conditions = [c for p in self._paths for g in p.greps for c in g.conditions]
        self._keys = tuple(dict.fromkeys(c.keys for c in conditions))
        self._single = self._keys[0][0] if len(self._keys) == 1 and len(self._keys[0]) == 1 else None
        self.kind_key = self._single or ""
        self._always = None if conditions or self.changes else tuple(p.output for p in self._paths)
        self._verdicts: dict[object, tuple[Output, ...]] = {}

    def outputs(self, record: dict[str, Json]) -> tuple[Output, ...]:
        """Where this record goes, unless `changes`; empty where filters stop it everywhere."""
        if self._always is not None:
            return self._always
        values: object
        if self._single is not None:
            values = record.get(self._single)
            if values.__class__ is not str:
                values = text_at(record, self._keys[0])
        else:
            values = tuple(text_at(record, keys) for keys in self._keys)
        found = self._verdicts.get(values)
        return self._decide(values, record) if found is None else found

    def kind(self, record: dict[str, Json]) -> str | None:
        """The text in field `kind_key`, which events that have it share with their outputs; None: ask for each."""
        value = record.get(self._single) if self._single is not None else None
        return value if isinstance(value, str) else None

    def delivered(self, event: Event, now_ns: int) -> list[tuple[Output, Event]]:
        """What goes where, in the order of the configuration. `now_ns`: when the event's chunk was received.

        Raises:
            Refused: a filter cannot read it, so it goes nowhere but to the dead letters, whole.
        """
        if self._changing is None:
            return [(output, event) for output in self.outputs(event.record)]
        return list(self._changing.delivered(Working(event.time_ns, event.record, now_ns), event))

    def _decide(self, values: object, record: dict[str, Json]) -> tuple[Output, ...]:
        if self.changes:
            raise RuntimeError("filters change these events; ask `delivered`")
        verdict = tuple(p.output for p in self._paths if all(g.passes(record) for g in p.greps))
        if len(self._verdicts) >= _VERDICTS_KEPT:
            self._verdicts.clear()
        self._verdicts[values] = verdict
        return verdict


def _plain_paths(branch: _Branch) -> list[_Path] | None:
    """Every way through a branch, where filters only choose; None where one changes events."""
    greps = tuple(rule for rule in branch.filters if isinstance(rule, Grep))
    if len(greps) < len(branch.filters):
        return None
    found: list[_Path] = []
    for end in branch.ends:
        if not isinstance(end, _Branch):
            found.append(_Path(greps, end))
            continue
        inner = _plain_paths(end)
        if inner is None:
            return None
        found += [_Path((*greps, *path.greps), path.output) for path in inner]
    return found


class _Changing:
    """A branch whose filters change events; what several outputs share is done once."""

    def __init__(self, branch: _Branch, tag: str, steps: Steps) -> None:
        self._steps = [steps.of(rule, tag) for rule in branch.filters]
        self._ends = [_Changing(end, tag, steps) if isinstance(end, _Branch) else end for end in branch.ends]

    def delivered(self, working: Working, event: Event) -> Iterator[tuple[Output, Event]]:
        """`event` is `working` as it goes out."""
        before = working
        for step in self._steps:
            after = step(working)
            if after is None:
                return
            working = after
        if working is not before:
            event = _encoded(working)
        for end in self._ends:
            if isinstance(end, _Changing):
                yield from end.delivered(working, event)
            else:
                yield end, event


def _encoded(working: Working) -> Event:
    try:
        return Event(working.time_ns, working.record, orjson.dumps(working.record))
    except TypeError as error:  # nested too deep, or a whole number beyond 64 bit
        raise Refused(f"what filters made of it is no JSON: {error}") from error


class Router:
    """All routes of a plan. Not for several threads. `hostname` is what `${hostname}` stands for."""

    def __init__(self, plan: Plan, hostname: str | None = None) -> None:
        self._plan = plan
        self._steps = Steps(socket.gethostname() if hostname is None else hostname)
        self._tags: dict[tuple[str | None, str], TagRoutes] = {}

    def routes(self, label: str | None, tag: str) -> TagRoutes:
        """Routes of events of this tag that a source sends to `label` (None: the top level).

        A label that the configuration no longer has, since the events were spooled, has no routes.
        """
        found = self._tags.get((label, tag))
        if found is None:
            if len(self._tags) >= _TAGS_KEPT:
                self._tags.clear()
            branch = self._branch(self._plan.pipeline(label), tag)
            found = self._tags[label, tag] = TagRoutes(branch, tag, self._steps)
        return found

    def _branch(self, pipeline: Pipeline, tag: str) -> _Branch | None:
        """Filters up to the first match, and what follows from it; None where no output does."""
        filters: list[FilterRule] = []
        for step in pipeline:
            if not step.tags.matches(tag):
                continue
            if isinstance(step, Filter):
                filters.append(step.does)
            else:
                ends = self._ends(step, tag)
                return _Branch(tuple(filters), ends) if ends else None
        return None

    def _ends(self, match: Match, tag: str) -> tuple[Output | _Branch, ...]:
        found: list[Output | _Branch] = []
        waiting = [match.action]
        while waiting:
            action = waiting.pop(0)
            if isinstance(action, Copy):
                waiting = [*action.stores, *waiting]
            elif not isinstance(action, Relabel):
                found.append(action)
            elif branch := self._branch(self._plan.pipeline(action.label), tag):
                found.append(branch)
        return tuple(found)
