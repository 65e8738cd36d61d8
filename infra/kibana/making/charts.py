"""Lens charts of one table each: a number, something over time, a ranking, a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.kibana.making.data_views import View
from infra.kibana.making.measures import Top
from infra.kibana.stored.base import UNSET, Kql
from infra.kibana.stored.lens import (
    LAYER,
    AxesSettings,
    FormBased,
    Layer,
    Legend,
    LensAttributes,
    LensState,
    Number,
    Paging,
    Series,
    Sorting,
    Sources,
    Table,
    TableColumn,
    Xy,
    XyLayer,
    layer_reference,
)
from infra.kibana.stored.lens_columns import DateHistogram, LensColumn, Measure
from infra.kibana.stored.objects import LENS, SavedObject, made

TIME, GROUP, SPLIT, VALUE = "time", "group", "split", "value"
"""Ids of columns."""

Columns = Mapping[str, LensColumn]


@dataclass(frozen=True)
class About:
    """What every chart has. `alone`: the filters and controls of a dashboard do not narrow it, only the time does;
    for charts of another data view than the dashboard's, whose documents have no such fields."""

    id: str
    title: str
    view: View
    description: str = ""
    query: str = ""
    alone: bool = False


def number(about: About, measure: Measure) -> SavedObject:
    """One number."""
    visualization = Number(layer_id=LAYER, metric_accessor=VALUE)
    attributes = LensAttributes(
        title=about.title,
        description=about.description,
        visualization_type="lnsMetric",
        state=LensState(
            visualization=visualization,
            datasource_states=_sources(about, {VALUE: measure}),
            query=Kql(query=about.query),
        ),
    )
    return _chart(about, attributes)


def over_time(about: About, measure: Measure, split: Top | None = None, series: Series = "bar_stacked") -> SavedObject:
    """By the view's time, and one series for each value of `split`."""
    columns: dict[str, LensColumn] = {}
    if split is not None:
        # First, so that the same values are shown at every time.
        columns[SPLIT] = split.column(VALUE)
    columns[TIME] = DateHistogram(label=about.view.time_field, custom_label=False, source_field=about.view.time_field)
    columns[VALUE] = measure
    return _xy(about, columns, TIME, split is not None, series)


def ranking(
    about: About, by: Top, measure: Measure, split: Top | None = None, series: Series = "bar_horizontal_stacked"
) -> SavedObject:
    """The values of a field that have most, and of what each consists."""
    columns: dict[str, LensColumn] = {GROUP: by.column(VALUE)}
    if split is not None:
        columns[SPLIT] = split.column(VALUE)
    columns[VALUE] = measure
    return _xy(about, columns, GROUP, split is not None, series)


def table(about: About, by: tuple[Top, ...], measures: tuple[Measure, ...], rows: int = 20) -> SavedObject:
    """A row for each combination of values, the largest by the first measure first."""
    columns: dict[str, LensColumn] = {f"{GROUP}{n}": top.column(f"{VALUE}1") for n, top in enumerate(by, 1)}
    columns |= {f"{VALUE}{n}": measure for n, measure in enumerate(measures, 1)}
    visualization = Table(
        layer_id=LAYER,
        columns=tuple(TableColumn(column_id=column) for column in columns),
        sorting=Sorting(column_id=f"{VALUE}1", direction="desc"),
        paging=Paging(size=rows, enabled=True),
    )
    attributes = LensAttributes(
        title=about.title,
        description=about.description,
        visualization_type="lnsDatatable",
        state=LensState(
            visualization=visualization, datasource_states=_sources(about, columns), query=Kql(query=about.query)
        ),
    )
    return _chart(about, attributes)


def _xy(about: About, columns: Columns, axis: str, is_split: bool, series: Series) -> SavedObject:
    layer = XyLayer(
        layer_id=LAYER,
        accessors=(VALUE,),
        series_type=series,
        x_accessor=axis,
        split_accessor=SPLIT if is_split else UNSET,
    )
    visualization = Xy(
        layers=(layer,),
        preferred_series_type=series,
        legend=Legend(is_visible=is_split, position="bottom"),
        # The chart's title says it.
        axis_titles_visibility_settings=AxesSettings(x=False, y_left=False, y_right=False),
    )
    attributes = LensAttributes(
        title=about.title,
        description=about.description,
        visualization_type="lnsXY",
        state=LensState(
            visualization=visualization, datasource_states=_sources(about, columns), query=Kql(query=about.query)
        ),
    )
    return _chart(about, attributes)


def _sources(about: About, columns: Columns) -> Sources:
    layer = Layer(columns=dict(columns), column_order=tuple(columns), ignore_global_filters=about.alone)
    return Sources(form_based=FormBased(layers={LAYER: layer}))


def _chart(
    about: About, attributes: LensAttributes[Xy] | LensAttributes[Number] | LensAttributes[Table]
) -> SavedObject:
    return made(LENS, about.id, attributes, [about.view.reference(layer_reference(LAYER))])
