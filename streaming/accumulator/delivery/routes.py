"""Where an event goes: a plan's pipelines, compiled once for each tag, decided once for each kind of record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streaming.accumulator.configuration.plan import Copy, Filter, Grep, Match, Output, Pipeline, Plan, Relabel, text_at

if TYPE_CHECKING:
    from streaming.events.model import Json

_TAGS_KEPT = 10_000
_VERDICTS_KEPT = 1_000
"""Tags and values come from outside; these bound what is remembered of them."""


class _Path(NamedTuple):
    greps: tuple[Grep, ...]
    output: Output


class TagRoutes:
    """Routes of one tag. `matched` is false where no `<match>` takes the tag at all."""

    def __init__(self, paths: list[_Path]) -> None:
        self._paths = paths
        self.matched = bool(paths)
        conditions = [c for p in paths for g in p.greps for c in (*g.regexps, *g.excludes)]
        self._keys = tuple(dict.fromkeys(c.keys for c in conditions))
        self._single = self._keys[0][0] if len(self._keys) == 1 and len(self._keys[0]) == 1 else None
        self._always = None if conditions else tuple(p.output for p in paths)
        self._verdicts: dict[object, tuple[Output, ...]] = {}

    def outputs(self, record: dict[str, Json]) -> tuple[Output, ...]:
        """Where this record goes; empty where filters stop it everywhere."""
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

    def _decide(self, values: object, record: dict[str, Json]) -> tuple[Output, ...]:
        verdict = tuple(p.output for p in self._paths if all(g.passes(record) for g in p.greps))
        if len(self._verdicts) >= _VERDICTS_KEPT:
            self._verdicts.clear()
        self._verdicts[values] = verdict
        return verdict


class Router:
    """All routes of a plan. Not for several threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tags: dict[tuple[str | None, str], TagRoutes] = {}

    def routes(self, label: str | None, tag: str) -> TagRoutes:
        """Routes of events of this tag that a source sends to `label` (None: the top level).

        A label that the configuration no longer has, since the events were spooled, has no routes.
        """
        found = self._tags.get((label, tag))
        if found is None:
            if len(self._tags) >= _TAGS_KEPT:
                self._tags.clear()
            found = self._tags[label, tag] = TagRoutes(self._paths(self._plan.pipeline(label), tag, ()))
        return found

    def _paths(self, pipeline: Pipeline, tag: str, greps: tuple[Grep, ...]) -> list[_Path]:
        """Every way through: filters up to the first match, and what follows from it."""
        for step in pipeline:
            if not step.tags.matches(tag):
                continue
            if isinstance(step, Filter):
                greps = (*greps, step.grep)
            else:
                return self._ends(step, tag, greps)
        return []

    def _ends(self, match: Match, tag: str, greps: tuple[Grep, ...]) -> list[_Path]:
        found: list[_Path] = []
        waiting = [match.action]
        while waiting:
            action = waiting.pop(0)
            if isinstance(action, Copy):
                waiting = [*action.stores, *waiting]
            elif isinstance(action, Relabel):
                found += self._paths(self._plan.pipeline(action.label), tag, greps)
            else:
                found.append(_Path(greps, action))
        return found
