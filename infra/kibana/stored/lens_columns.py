"""Columns of a Lens chart's table: each is one aggregation of Elasticsearch, or a part of one."""

from __future__ import annotations

from typing import Literal

from infra.kibana.stored.base import UNSET, Kql, Stored, Unset

RECORDS = "___records___"
"""What Kibana writes where a column counts documents and not values of a field."""


class NumberParams(Stored, frozen=True, kw_only=True):
    """Of a number's format."""

    decimals: int | Unset = UNSET
    compact: bool | Unset = UNSET
    suffix: str | Unset = UNSET


class NumberFormat(Stored, frozen=True, kw_only=True):
    """How a number is shown."""

    id: Literal["number", "percent", "bytes"]
    params: NumberParams | Unset = UNSET


class MetricParams(Stored, frozen=True, kw_only=True):
    """Of a column that measures."""

    empty_as_null: bool | Unset = UNSET
    format: NumberFormat | Unset = UNSET


class PercentileParams(Stored, frozen=True, kw_only=True):
    """`percentile` in per cent."""

    percentile: float | int
    format: NumberFormat | Unset = UNSET


class Column(Stored, tag_field="operationType", frozen=True, kw_only=True):
    """What every column has. `filter` counts only what fits it."""

    label: str
    custom_label: bool = True
    filter: Kql | Unset = UNSET
    time_scale: Literal["s", "m", "h", "d"] | Unset = UNSET
    time_shift: str | Unset = UNSET
    reduced_time_range: str | Unset = UNSET


class Metric(Column, frozen=True, kw_only=True):
    """A column that measures a field."""

    source_field: str
    data_type: Literal["number", "date"] = "number"
    is_bucketed: Literal[False] = False
    scale: Literal["ratio"] | Unset = "ratio"
    params: MetricParams = MetricParams()


class Count(Metric, tag="count", frozen=True, kw_only=True):
    """Documents, or values of a field."""


class UniqueCount(Metric, tag="unique_count", frozen=True, kw_only=True):
    """How many different values."""


class Sum(Metric, tag="sum", frozen=True, kw_only=True):
    """Of a number."""


class Average(Metric, tag="average", frozen=True, kw_only=True):
    """Of a number."""


class Median(Metric, tag="median", frozen=True, kw_only=True):
    """Of a number."""


class Minimum(Metric, tag="min", frozen=True, kw_only=True):
    """Of a number or date."""


class Maximum(Metric, tag="max", frozen=True, kw_only=True):
    """Of a number or date."""


class Percentile(Column, tag="percentile", frozen=True, kw_only=True):
    """Of a number."""

    source_field: str
    params: PercentileParams
    data_type: Literal["number"] = "number"
    is_bucketed: Literal[False] = False
    scale: Literal["ratio"] | Unset = "ratio"


class OrderByColumn(Stored, frozen=True, kw_only=True):
    """The largest first, by a column that measures."""

    column_id: str
    type: Literal["column"] = "column"


class ParentFormat(Stored, frozen=True, kw_only=True):
    """That a column's values are terms."""

    id: Literal["terms"] = "terms"


class TermsParams(Stored, frozen=True, kw_only=True):
    """Which values, and how many."""

    size: int
    order_by: OrderByColumn
    order_direction: Literal["asc", "desc"] = "desc"
    other_bucket: bool = False
    missing_bucket: bool = False
    parent_format: ParentFormat = ParentFormat()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_is_regex: bool = False
    exclude_is_regex: bool = False
    accuracy_mode: bool | Unset = UNSET
    secondary_fields: tuple[str, ...] | Unset = UNSET


class Terms(Column, tag="terms", frozen=True, kw_only=True):
    """The values of a field that most documents have."""

    source_field: str
    params: TermsParams
    data_type: Literal["string", "number", "boolean"] = "string"
    is_bucketed: Literal[True] = True
    scale: Literal["ordinal"] | Unset = "ordinal"


class DateHistogramParams(Stored, frozen=True, kw_only=True):
    """`interval` is Elasticsearch's, or `auto`."""

    interval: str = "auto"
    include_empty_rows: bool = True
    drop_partials: bool = False
    ignore_time_range: bool | Unset = UNSET


class DateHistogram(Column, tag="date_histogram", frozen=True, kw_only=True):
    """Time in steps."""

    source_field: str
    data_type: Literal["date"] = "date"
    is_bucketed: Literal[True] = True
    scale: Literal["interval"] | Unset = "interval"
    params: DateHistogramParams = DateHistogramParams()


class NamedFilter(Stored, frozen=True, kw_only=True):
    """One of several queries side by side."""

    input: Kql
    label: str


class FiltersParams(Stored, frozen=True, kw_only=True):
    """All of them."""

    filters: tuple[NamedFilter, ...]


class Filters(Column, tag="filters", frozen=True, kw_only=True):
    """A group for each of several queries."""

    params: FiltersParams
    data_type: Literal["string"] = "string"
    is_bucketed: Literal[True] = True
    scale: Literal["ordinal"] | Unset = "ordinal"


Measure = Count | UniqueCount | Sum | Average | Median | Minimum | Maximum | Percentile
Bucket = Terms | DateHistogram | Filters
LensColumn = Measure | Bucket
