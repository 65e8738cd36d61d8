"""The map from fingerprints to templates: what is known, what has changed, what is refused and forgotten. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streaming.fingerprint.shapes import fingerprint_of_mask
from streaming.templates.merging import MERGE_VERSION, Covering, merge
from streaming.templates.messages import Placed, Shape, Summary

SHAPES: Final = 20_000
"""Shapes in the map. 20,000 * about 300 bytes = 6 MB here; 10 MB in each topic."""

COMPARED: Final = 5_000
"""Shapes that are compared with each other; the others are covered by a template that these make. Eight systems of
loghub have 600. 5,000 take 0.2 s and 10 MB, 3 s if they were made to be hard."""

KEPT_OF_TEMPLATE: Final = 50
"""Shapes of one template that go on being compared when there is no room: twice what any rule of merging asks for."""


@dataclass(slots=True)
class _Known:
    """`masked` is None for what is not compared (any more): it goes where its template goes."""

    masked: str | None
    template: str
    first_seen_ms: int
    announced_ms: int


def _compared_text(known: _Known) -> str:
    return known.template if known.masked is None else known.masked


class Book:
    """All shapes and their templates.

    While there are no more than `compared` shapes, the templates are a function of the set of shapes alone, whatever
    the order in which they came. Beyond that, a shape that a template covers joins it; what none covers is refused
    and counted, as is everything beyond `limit`. So memory and work are bounded.
    """

    def __init__(self, limit: int = SHAPES, compared: int = COMPARED) -> None:
        self._limit, self._compared_limit = limit, compared
        self._known: dict[str, _Known] = {}
        self._compared = 0
        self._covering = Covering(())
        self._changed: set[str] = set()
        self._unmerged = 0
        """Shapes that came to be compared since the last merging, or went."""
        self._refused, self._refused_lately = 0, False
        self._revision = 0

    @property
    def summary(self) -> Summary:
        """The map in figures."""
        templates = len({known.template for known in self._known.values()})
        return Summary(self._revision, len(self._known), templates, self._refused)

    @property
    def due(self) -> bool:
        """Whether something came since the last `merge`."""
        return bool(self._unmerged or self._changed) or self._refused_lately

    def restore(self, placed: Iterable[Placed], summary: Summary | None) -> None:
        """Takes over what was published before; the shapes themselves are then given to `take` again."""
        for entry in placed:
            self._known[entry.fingerprint] = _Known(None, entry.text, entry.first_seen_ms, entry.first_seen_ms)
            if entry.version != MERGE_VERSION:
                self._changed.add(entry.fingerprint)
        if summary is not None:
            self._refused, self._revision = summary.refused, summary.revision

    def take(self, shape: Shape, announced_ms: int) -> bool:
        """Takes in a shape, new or known; False if there is no room for it."""
        known = self._known.get(shape.fingerprint)
        if known is None:
            known = self._admitted(shape, announced_ms)
            if known is None:
                self._refused, self._refused_lately = self._refused + 1, True
                return False
        elif shape.first_seen_ms < known.first_seen_ms:
            known.first_seen_ms = shape.first_seen_ms
            self._changed.add(shape.fingerprint)
        known.announced_ms = max(known.announced_ms, announced_ms)
        if known.masked is None and self._compared < self._compared_limit:
            known.masked = shape.masked
            self._compared += 1
            self._unmerged += 1
        return True

    def merge(self) -> list[Placed]:
        """Finds the templates anew where something came; what is to be published, in the order of fingerprints."""
        if self._unmerged:
            self._find_templates()
        changed = [self._placed(fingerprint) for fingerprint in sorted(self._changed)]
        self._revision += bool(changed)
        self._changed.clear()
        self._refused_lately = False
        return changed

    def forget(self, announced_before_ms: int) -> list[str]:
        """Drops the shapes of which nothing came since then; their fingerprints."""
        gone = [name for name, known in self._known.items() if known.announced_ms < announced_before_ms]
        for fingerprint in gone:
            self._compared -= self._known.pop(fingerprint).masked is not None
            self._changed.discard(fingerprint)
        self._unmerged += len(gone)
        return gone

    def _admitted(self, shape: Shape, announced_ms: int) -> _Known | None:
        """A place in the map, if there is one. What is to be compared is its own template until the next merging."""
        if len(self._known) >= self._limit:
            return None
        if self._compared >= self._compared_limit and self._unmerged > self._compared_limit // 2:
            self._find_templates()  # which makes room
        template: str | None = shape.masked
        if self._compared >= self._compared_limit:
            template = self._covering.template_of(shape.masked)
        if template is None:
            return None
        known = self._known[shape.fingerprint] = _Known(None, template, shape.first_seen_ms, announced_ms)
        self._changed.add(shape.fingerprint)
        return known

    def _find_templates(self) -> None:
        """What is not compared is there by its template, which so holds together what belongs to it."""
        merged = merge({_compared_text(known) for known in self._known.values()})
        covering = set()
        for fingerprint, known in self._known.items():
            template = merged[_compared_text(known)]
            if template != known.template:
                known.template = template
                self._changed.add(fingerprint)
            if template != known.masked:
                covering.add(template)
        self._unmerged = 0
        self._covering = Covering(covering)
        if self._compared >= self._compared_limit:
            self._make_room()

    def _placed(self, fingerprint: str) -> Placed:
        known = self._known[fingerprint]
        template = fingerprint_of_mask(known.template)
        return Placed(fingerprint, template, known.template, known.first_seen_ms, MERGE_VERSION)

    def _make_room(self) -> None:
        """A template that many shapes have made stays what it is with some of them."""
        members: defaultdict[str, list[str]] = defaultdict(list)
        for fingerprint, known in self._known.items():
            if known.masked is not None:
                members[known.template].append(fingerprint)
        for fingerprints in members.values():
            for fingerprint in sorted(fingerprints)[KEPT_OF_TEMPLATE:]:
                self._known[fingerprint].masked = None
                self._compared -= 1
