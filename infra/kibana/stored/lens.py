"""Lens charts: saved objects of type `lens`. One table of columns (a layer), and how it is drawn."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from infra.kibana.stored.base import UNSET, Empty, Kql, Stored, Unset
from infra.kibana.stored.lens_columns import LensColumn

LAYER = "layer"
"""Id of the only layer of Vigil's charts."""


class Layer(Stored, frozen=True, kw_only=True):
    """Columns by id, in the order in which their aggregations are nested."""

    columns: dict[str, LensColumn]
    column_order: tuple[str, ...]
    incomplete_columns: Empty = Empty()
    sampling: int | float = 1
    ignore_global_filters: bool | Unset = UNSET


class FormBased(Stored, frozen=True, kw_only=True):
    """Layers by id."""

    layers: dict[str, Layer]


class NoLayers(Stored, frozen=True, kw_only=True):
    """Of a kind of source that Vigil's charts do not use."""

    layers: Empty = Empty()


class Sources(Stored, frozen=True, kw_only=True):
    """Where a chart's tables come from."""

    form_based: FormBased
    text_based: NoLayers = NoLayers()
    index_pattern: NoLayers | Unset = msgspec.field(name="indexpattern", default=UNSET)
    """The name that `formBased` had before 8.6; exports still have it, empty."""


class Legend(Stored, frozen=True, kw_only=True):
    """Beside a chart."""

    is_visible: bool = True
    position: Literal["right", "bottom", "top", "left"] = "right"
    should_truncate: bool | Unset = UNSET
    max_lines: int | Unset = UNSET
    legend_size: str | Unset = UNSET
    show_single_series: bool | Unset = UNSET
    is_inside: bool | Unset = UNSET


class AxesSettings(Stored, frozen=True, kw_only=True):
    """A switch for each axis."""

    x: bool = True
    y_left: bool = True
    y_right: bool = True


class LabelsOrientation(Stored, frozen=True, kw_only=True):
    """Degrees by axis."""

    x: int = 0
    y_left: int = 0
    y_right: int = 0


class Extent(Stored, frozen=True, kw_only=True):
    """Which part of an axis is shown."""

    mode: Literal["full", "dataBounds", "custom"] = "full"
    lower_bound: float | int | Unset = UNSET
    upper_bound: float | int | Unset = UNSET


class SeriesConfig(Stored, frozen=True, kw_only=True):
    """How one column is drawn."""

    for_accessor: str
    color: str | Unset = UNSET
    axis_mode: Literal["left", "right", "auto"] | Unset = UNSET


Series = Literal[
    "bar",
    "bar_stacked",
    "bar_percentage_stacked",
    "bar_horizontal",
    "bar_horizontal_stacked",
    "bar_horizontal_percentage_stacked",
    "line",
    "area",
    "area_stacked",
    "area_percentage_stacked",
]


class XyLayer(Stored, frozen=True, kw_only=True):
    """Which columns are the axis, the values and the series."""

    layer_id: str
    accessors: tuple[str, ...]
    series_type: Series
    x_accessor: str
    layer_type: Literal["data"] = "data"
    split_accessor: str | Unset = UNSET
    y_config: tuple[SeriesConfig, ...] | Unset = UNSET
    position: Literal["top"] = "top"
    show_gridlines: bool = False


class Xy(Stored, frozen=True, kw_only=True):
    """Bars, lines, areas (`lnsXY`)."""

    layers: tuple[XyLayer, ...]
    preferred_series_type: Series
    legend: Legend = Legend()
    value_labels: Literal["hide", "show"] = "hide"
    fitting_function: Literal["None", "Zero", "Linear"] = "None"
    axis_titles_visibility_settings: AxesSettings = AxesSettings()
    tick_labels_visibility_settings: AxesSettings = AxesSettings()
    gridlines_visibility_settings: AxesSettings = AxesSettings()
    labels_orientation: LabelsOrientation = LabelsOrientation()
    y_left_extent: Extent | Unset = UNSET
    y_right_extent: Extent | Unset = UNSET
    y_title: str | Unset = UNSET
    x_title: str | Unset = UNSET


class Number(Stored, frozen=True, kw_only=True):
    """One number, or one for each value (`lnsMetric`)."""

    layer_id: str
    metric_accessor: str
    layer_type: Literal["data"] = "data"
    secondary_metric_accessor: str | Unset = UNSET
    breakdown_by_accessor: str | Unset = UNSET
    subtitle: str | Unset = UNSET
    color: str | Unset = UNSET
    max_cols: int | Unset = UNSET


class TableColumn(Stored, frozen=True, kw_only=True):
    """A column of a table. None is a link: values are log text."""

    column_id: str
    width: float | int | Unset = UNSET
    hidden: bool | Unset = UNSET
    is_transposed: bool | Unset = UNSET
    is_metric: bool | Unset = UNSET
    alignment: Literal["left", "right", "center"] | Unset = UNSET
    one_click_filter: bool | Unset = UNSET
    summary_row: Literal["none", "sum", "avg", "count", "min", "max"] | Unset = UNSET
    color_mode: Literal["none", "cell", "text"] | Unset = UNSET


class Sorting(Stored, frozen=True, kw_only=True):
    """By which column."""

    column_id: str
    direction: Literal["asc", "desc", "none"]


class Paging(Stored, frozen=True, kw_only=True):
    """Rows of a page."""

    size: int
    enabled: bool


class Table(Stored, frozen=True, kw_only=True):
    """Rows and columns (`lnsDatatable`)."""

    layer_id: str
    columns: tuple[TableColumn, ...]
    layer_type: Literal["data"] = "data"
    sorting: Sorting | Unset = UNSET
    paging: Paging | Unset = UNSET
    row_height: Literal["auto", "single", "custom"] | Unset = UNSET
    header_row_height: Literal["auto", "single", "custom"] | Unset = UNSET
    density: Literal["compact", "expanded", "normal"] | Unset = UNSET


V = TypeVar("V", Xy, Number, Table)


class LensState(Stored, Generic[V], frozen=True, kw_only=True):
    """What is drawn and what it is drawn from. The data view is a reference named
    `indexpattern-datasource-layer-LAYER`."""

    visualization: V
    datasource_states: Sources
    query: Kql
    filters: tuple[()] = ()
    internal_references: tuple[()] = ()
    ad_hoc_data_views: Empty = Empty()


class LensAttributes(Stored, Generic[V], frozen=True, kw_only=True):
    """Without `version`, which only later releases of 9.x write: they read charts without it as of before."""

    title: str
    description: str
    visualization_type: Literal["lnsXY", "lnsMetric", "lnsDatatable"]
    state: LensState[V]


def layer_reference(layer_id: str) -> str:
    """Name of a layer's reference to its data view."""
    return f"indexpattern-datasource-layer-{layer_id}"
