"""Objects against Kibana's own format: versions, references, what within an object must agree.

Which attributes a type may have is said by `stored`, and was checked when an object was read. Kibana's import finds the
least of this: of references it looks at those to data views and searches alone, and a chart whose columns do not agree
is imported, and shows an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

from infra.kibana.checking.problems import Problem, problem
from infra.kibana.stored.base import INDEX_REFERENCE, Reference
from infra.kibana.stored.dashboard import (
    COLUMNS,
    DashboardAttributes,
    Panel,
    control_reference,
    panel_reference,
)
from infra.kibana.stored.data_view import DataViewAttributes
from infra.kibana.stored.lens import LensAttributes, Number, Table, Xy, layer_reference
from infra.kibana.stored.lens_columns import Bucket, DateHistogram, LensColumn, Terms
from infra.kibana.stored.objects import CORE_VERSION, DATA_VIEW, TYPE_VERSIONS, Chart, SavedObject, Unfit, by_key
from infra.kibana.stored.opened import controls_of, formats_of, hidden_of, names_of, options_of, panels_of, source_of
from infra.kibana.stored.search import SearchAttributes


def problems_of_form(objects: Sequence[SavedObject]) -> list[Problem]:
    """What is wrong with these, which are to be imported together."""
    known = by_key(objects)
    found: list[Problem] = []
    for key, times in Counter(one.key for one in objects).items():
        if times > 1:
            found.append(problem(known[key], f"is there {times} times; Kibana refuses the whole file"))
    for one in objects:
        try:
            reasons = [*_versions(one), *_references(one, known), *_parts(one)]
        except Unfit as unfit:
            reasons = [str(unfit)]
        found += [problem(one, reason) for reason in reasons]
    return found


def _versions(one: SavedObject) -> Iterator[str]:
    wanted = TYPE_VERSIONS[one.type]
    if one.type_migration_version != wanted:
        yield f"typeMigrationVersion is {one.type_migration_version!r}, Kibana 9.0 writes {wanted!r}"
    if one.core_migration_version != CORE_VERSION:
        yield f"coreMigrationVersion is {one.core_migration_version!r}, Kibana 9 writes {CORE_VERSION!r}"


def _references(one: SavedObject, known: dict[str, SavedObject]) -> Iterator[str]:
    for reference in one.references:
        if f"{reference.type}:{reference.id}" not in known:
            yield f"refers to {reference.type}:{reference.id}, which is not there"
    names = Counter(reference.name for reference in one.references)
    yield from (f"has {times} references named {name!r}" for name, times in names.items() if times > 1)
    wanted = dict(_wanted(one))
    for name in sorted(wanted.keys() - names.keys()):
        yield f"has no reference named {name!r}"
    for name in sorted(names.keys() - wanted.keys()):
        yield f"has a reference named {name!r} that nothing uses"
    for reference in one.references:
        kind = wanted.get(reference.name)
        if kind is not None and kind != reference.type:
            yield f"reference {reference.name!r} is to a {reference.type}, and {kind} is needed"


def _wanted(one: SavedObject) -> Iterator[tuple[str, str]]:
    """Names of the references that the attributes use, and the type of what each is to lead to."""
    held = one.attributes
    if isinstance(held, SearchAttributes):
        name = source_of(held).index_ref_name
        yield (name or INDEX_REFERENCE), DATA_VIEW
    elif isinstance(held, LensAttributes):
        for layer in held.state.datasource_states.form_based.layers:
            yield layer_reference(layer), DATA_VIEW
    elif isinstance(held, DashboardAttributes):
        for panel in panels_of(held):
            yield panel_reference(panel.panel_index, panel.panel_ref_name), panel.type
        for control in controls_of(held):
            yield control_reference(control), DATA_VIEW


def _parts(one: SavedObject) -> Iterator[str]:
    held = one.attributes
    if isinstance(held, DataViewAttributes):
        # Decoding is the check.
        formats_of(held), names_of(held), hidden_of(held)
        if held.runtime_field_map != "{}" or held.fields != "[]":
            yield "has runtime or scripted fields, which are code"
    elif isinstance(held, SearchAttributes):
        if held.time_restore and not held.time_range:
            yield "restores a time range that it does not have"
    elif isinstance(held, DashboardAttributes):
        options_of(held)
        if held.time_restore and not (held.time_from and held.time_to):
            yield "restores a time range that it does not have"
        yield from _layout(panels_of(held))
        for control_id, control in controls_of(held).items():
            if control.explicit_input.id != control_id:
                yield f"control {control_id!r} calls itself {control.explicit_input.id!r}"
            view = Reference(id=control.explicit_input.data_view_id, name=control_reference(control_id), type=DATA_VIEW)
            if view not in one.references:
                yield f"control {control_id!r} names another data view than its reference"
    else:
        yield from _columns(held)


def _layout(panels: Sequence[Panel]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        grid, name = panel.grid_data, panel.panel_index
        if grid.i != name:
            yield f"panel {name!r} is called {grid.i!r} in the grid"
        if grid.w < 1 or grid.h < 1 or grid.x < 0 or grid.y < 0 or grid.x + grid.w > COLUMNS:
            yield f"panel {name!r} does not lie within the {COLUMNS} columns"
        cells = {(x, y) for x in range(grid.x, grid.x + grid.w) for y in range(grid.y, grid.y + grid.h)}
        for other in sorted({taken[cell] for cell in cells & taken.keys()}):
            yield f"panels {other!r} and {name!r} overlap"
        taken |= dict.fromkeys(cells, name)


def _columns(chart: Chart) -> Iterator[str]:
    for layer_id, layer in chart.state.datasource_states.form_based.layers.items():
        if sorted(layer.column_order) != sorted(layer.columns):
            yield f"layer {layer_id!r} has columns {sorted(layer.columns)} in the order {list(layer.column_order)}"
            continue
        groups = [column for column in layer.column_order if isinstance(layer.columns[column], Bucket)]
        if list(layer.column_order[: len(groups)]) != groups:
            yield f"layer {layer_id!r} measures before it groups"
        for name, column in layer.columns.items():
            if isinstance(column, Terms):
                by = layer.columns.get(column.params.order_by.column_id)
                if by is None or isinstance(by, Bucket):
                    yield f"column {name!r} is ordered by {column.params.order_by.column_id!r}, which measures nothing"
        yield from _drawn(chart, layer_id, layer.columns)


def _drawn(chart: Chart, layer_id: str, columns: dict[str, LensColumn]) -> Iterator[str]:
    """What is drawn is there, each column once, as what it can be."""
    kinds = {Xy: "lnsXY", Number: "lnsMetric", Table: "lnsDatatable"}
    picture = chart.state.visualization
    if kinds[type(picture)] != chart.visualization_type:
        yield f"is drawn as {kinds[type(picture)]}, and called {chart.visualization_type}"
    layers = {layer.layer_id for layer in picture.layers} if isinstance(picture, Xy) else {picture.layer_id}
    if layers != {layer_id}:
        yield f"draws layers {sorted(layers)}, and has {layer_id!r}"
    drawn = list(_accessors(picture))
    if sorted(name for name, _ in drawn) != sorted(columns):
        yield f"draws columns {sorted(name for name, _ in drawn)}, and has {sorted(columns)}"
        return
    for name, role in drawn:
        if role is not None and role is not _role(columns[name]):
            yield f"column {name!r} {_role(columns[name])}, where one stands that {role}"
    if isinstance(picture, Table) and picture.sorting and picture.sorting.column_id not in columns:
        yield f"is sorted by column {picture.sorting.column_id!r}, which is not there"
    if isinstance(picture, Xy):
        for layer in picture.layers:
            is_line = layer.series_type.startswith(("line", "area"))
            if is_line and not isinstance(columns[layer.x_accessor], DateHistogram):
                yield "draws lines between what has no order"


class _Role(StrEnum):
    GROUPS = "groups"
    MEASURES = "measures"


def _role(column: LensColumn) -> _Role:
    return _Role.GROUPS if isinstance(column, Bucket) else _Role.MEASURES


def _accessors(picture: Xy | Number | Table) -> Iterator[tuple[str, _Role | None]]:
    """Each column that is drawn, and what it must do there; None: either."""
    if isinstance(picture, Table):
        yield from ((column.column_id, None) for column in picture.columns)
    elif isinstance(picture, Number):
        yield picture.metric_accessor, _Role.MEASURES
        if picture.secondary_metric_accessor:
            yield picture.secondary_metric_accessor, _Role.MEASURES
        if picture.breakdown_by_accessor:
            yield picture.breakdown_by_accessor, _Role.GROUPS
    else:
        for layer in picture.layers:
            yield layer.x_accessor, _Role.GROUPS
            if layer.split_accessor:
                yield layer.split_accessor, _Role.GROUPS
            yield from ((accessor, _Role.MEASURES) for accessor in layer.accessors)
