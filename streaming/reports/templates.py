"""Which messages the errors of a period are, which are new, and which are heard no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.query import Object, Op, Term, to_elastic
from streaming.reports.counting import counted_query, errors_only
from streaming.reports.model import ERROR_LEVELS, TemplateLine, Templates
from streaming.reports.period import Period
from streaming.templates.reading import FIELD, SHAPES_COUNTED, Map, ShapeCount, TemplateCount, count_shapes, join

LISTED = 25
"""Errors, new and vanished templates each."""

ASKED_FOR = 5_000
"""Shapes at most that are asked for by name."""

TEXT_CHARACTERS = 500
"""Of a template and of an example."""


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int


class _Shapes(msgspec.Struct):
    buckets: list[_Bucket] = []
    sum_other_doc_count: int = 0


class _Aggregations(msgspec.Struct):
    shapes: _Shapes = msgspec.field(default_factory=_Shapes)


class _Answer(msgspec.Struct):
    aggregations: _Aggregations | None = None


class TemplateCounts:
    """Counts the templates of an installation; `known` is the map of templates.

    Of all logs only how many there are of each shape is counted; levels, services and times, which take longer than
    that, are asked for where they are shown.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not answer this.
    """

    def __init__(self, connection: Connection, index_prefix: str, known: Map) -> None:
        self._connection, self._prefix, self._known = connection, index_prefix, known

    def of(self, period: Period, before: Period | None, week_ago: Period | None) -> Templates:
        """Those of a period, beside those of two others (None: nothing was counted then)."""
        errors = self._errors(period)
        now = self._totals(period)
        new = self._new(period, now)
        gone = None if before is None else self._vanished(period, now, before)
        return Templates(
            errors=self._error_lines(errors, before, week_ago),
            error_templates=len(errors),
            new=[_line(template, template.count) for template in new[:LISTED]],
            new_total=len(new),
            vanished=[] if before is None else self._vanished_lines(before, gone or []),
            vanished_total=None if gone is None else len(gone),
        )

    def _errors(self, period: Period) -> list[TemplateCount]:
        query = counted_query(period, errors_only())
        return join(count_shapes(self._connection, self._prefix, query).shapes, self._known)

    def _error_lines(
        self, errors: Sequence[TemplateCount], before: Period | None, week_ago: Period | None
    ) -> list[TemplateLine]:
        then, earlier = (None if p is None else _by_name(self._errors(p)) for p in (before, week_ago))
        return [
            _line(
                template,
                template.count,
                before=None if then is None else then.get(template.template, 0),
                week_ago=None if earlier is None else earlier.get(template.template, 0),
            )
            for template in errors[:LISTED]
        ]

    def _new(self, period: Period, now: _Shapes) -> list[TemplateCount]:
        """Templates that were never received before, those with errors first."""
        counted = None if now.sum_other_doc_count else {bucket.key for bucket in now.buckets}
        fresh = [
            placed.fingerprint
            for placed in self._known.placed.values()
            if placed.first_seen_ms >= period.start_ms and (counted is None or placed.fingerprint in counted)
        ]
        found = [template for template in self._named(period, fresh) if _is_new(template, period)]
        return sorted(found, key=lambda template: (not _has_errors(template), -template.count, template.text))

    def _vanished(self, period: Period, now: _Shapes, before: Period) -> list[TemplateCount]:
        """Templates of the period before that have no log in this one, the most frequent first."""
        here = {template.template for template in self._join(now)}
        gone = [t for t in self._join(self._totals(before)) if t.template and t.template not in here]
        if now.sum_other_doc_count and gone:
            # They may only have become rare.
            names = [name for template in gone for name in template.fingerprints]
            rare = {template.template for template in self._named(period, names)}
            gone = [template for template in gone if template.template not in rare]
        return gone

    def _vanished_lines(self, before: Period, gone: Sequence[TemplateCount]) -> list[TemplateLine]:
        shown = gone[:LISTED]
        names = [name for template in shown for name in template.fingerprints]
        details = {template.template: template for template in self._named(before, names)}
        return [_line(details.get(t.template, t), 0, before=t.count) for t in shown]

    def _named(self, period: Period, fingerprints: Sequence[str]) -> list[TemplateCount]:
        """The templates of these shapes alone, with all there is to say of them."""
        if not fingerprints:
            return []
        wanted = Term(Op.ONE_OF, FIELD, tuple(fingerprints[:ASKED_FOR]))
        return join(count_shapes(self._connection, self._prefix, counted_query(period, wanted)).shapes, self._known)

    def _totals(self, period: Period) -> _Shapes:
        body: Object = {
            "size": 0,
            "track_total_hits": False,
            "query": to_elastic(counted_query(period)),
            "aggs": {"shapes": {"terms": {"field": FIELD, "size": SHAPES_COUNTED}}},
        }
        path = f"/{quote(mapping.logs_pattern(self._prefix), safe='*')}/_search?ignore_unavailable=true"
        answer = checked(self._connection.json("POST", path, body), "counting shapes")
        return (decoding.decode(answer.body, _Answer).aggregations or _Aggregations()).shapes

    def _join(self, shapes: _Shapes) -> list[TemplateCount]:
        counts = (ShapeCount(bucket.key, bucket.doc_count, {}, {}, 0, 0) for bucket in shapes.buckets)
        return join(counts, self._known)


def _is_new(template: TemplateCount, period: Period) -> bool:
    return template.known_since_ms is not None and template.known_since_ms >= period.start_ms


def _has_errors(template: TemplateCount) -> bool:
    return any(template.levels[level] for level in ERROR_LEVELS)


def _by_name(templates: Iterable[TemplateCount]) -> dict[str, int]:
    return {template.template: template.count for template in templates}


def _line(
    template: TemplateCount, count: int, *, before: int | None = None, week_ago: int | None = None
) -> TemplateLine:
    return TemplateLine(
        template=template.template,
        text=template.text[:TEXT_CHARACTERS],
        example=template.example[:TEXT_CHARACTERS],
        count=count,
        before=before,
        week_ago=week_ago,
        level=_most(template.levels),
        service=_most(template.services),
        first_ms=template.first_ms if count else template.last_ms,
    )


def _most(counts: Mapping[str, int]) -> str:
    return min(counts, key=lambda name: (-counts[name], name)) if counts else ""
