"""What a chart measures, and by what it is grouped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.kibana.stored.base import UNSET, Kql
from infra.kibana.stored.lens_columns import (
    RECORDS,
    Count,
    Maximum,
    Measure,
    MetricParams,
    OrderByColumn,
    Percentile,
    PercentileParams,
    Sum,
    Terms,
    TermsParams,
    UniqueCount,
)


def count(label: str, query: str = "") -> Measure:
    """How many documents, or how many of them fit this query."""
    return Count(label=label, source_field=RECORDS, filter=Kql(query=query) if query else UNSET)


def different(label: str, field: str) -> Measure:
    """How many different values, counted approximately (Elasticsearch's cardinality)."""
    return UniqueCount(label=label, source_field=field)


def percentile(label: str, field: str, percent: int) -> Measure:
    """A percentile; there is none where no document has the field."""
    return Percentile(label=label, source_field=field, params=PercentileParams(percentile=percent))


def total(label: str, field: str) -> Measure:
    """The sum; none, and not 0, where no document has the field."""
    return Sum(label=label, source_field=field, params=MetricParams(empty_as_null=True))


def largest(label: str, field: str) -> Measure:
    """The largest number."""
    return Maximum(label=label, source_field=field)


def latest(label: str, field: str) -> Measure:
    """The latest time."""
    return Maximum(label=label, source_field=field, data_type="date")


@dataclass(frozen=True)
class Top:
    """Grouped by the values of a field that have most of what is measured."""

    field: str
    label: str
    size: int = 10
    of: Literal["string", "number"] = "string"

    def column(self, measure: str) -> Terms:
        """The column, ordered by that of this id."""
        return Terms(
            label=self.label,
            source_field=self.field,
            data_type=self.of,
            params=TermsParams(size=self.size, order_by=OrderByColumn(column_id=measure)),
        )
