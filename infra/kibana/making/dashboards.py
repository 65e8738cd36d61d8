"""Dashboards: rows of panels, and controls above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infra.kibana.making.data_views import View
from infra.kibana.stored.base import UNSET, Kql, Reference, RefreshInterval, SearchMeta, SearchSource, text
from infra.kibana.stored.dashboard import (
    COLUMNS,
    Control,
    ControlGroup,
    ControlInput,
    DashboardAttributes,
    Grid,
    Options,
    Panel,
    ParentSettings,
    control_reference,
    panel_reference,
)
from infra.kibana.stored.objects import DASHBOARD, LENS, SavedObject, made

REFRESH_MS = 30_000


@dataclass(frozen=True)
class Row:
    """Panels side by side, of the same width. `height` in rows of the grid (20 pixels)."""

    height: int
    shown: tuple[SavedObject, ...]


@dataclass(frozen=True)
class Choice:
    """A control: a list of the values of a field, of which some can be chosen."""

    field: str
    title: str
    view: View

    @property
    def id(self) -> str:
        """Of the control within its dashboard."""
        return self.field.strip("@").replace(".", "-")


@dataclass(frozen=True)
class Dashboard:
    """A dashboard. `since`: the time range that it opens with."""

    id: str
    title: str
    description: str
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()
    since: str = "now-1h"


def dashboard(wanted: Dashboard) -> SavedObject:
    """The saved object. Its panels refer to charts and searches, which can be opened, and changed in one place."""
    placed = list(_placed(wanted.rows))
    panels = [panel for panel, _ in placed]
    references = [
        Reference(id=shown.id, name=panel_reference(panel.panel_index, panel.panel_ref_name), type=shown.type)
        for panel, shown in placed
    ]
    attributes = DashboardAttributes(
        title=wanted.title,
        description=wanted.description,
        kibana_saved_object_meta=SearchMeta(source=text(SearchSource(query=Kql()))),
        panels=text(panels),
        options=text(Options()),
        time_restore=True,
        time_from=wanted.since,
        time_to="now",
        refresh_interval=RefreshInterval(pause=False, value=REFRESH_MS),
        control_group_input=_controls(wanted.choices) if wanted.choices else UNSET,
    )
    references += [choice.view.reference(control_reference(choice.id)) for choice in wanted.choices]
    return made(DASHBOARD, wanted.id, attributes, references)


def _placed(rows: Iterable[Row]) -> Iterator[tuple[Panel, SavedObject]]:
    top = 0
    for row in rows:
        width = COLUMNS // len(row.shown)
        for place, shown in enumerate(row.shown):
            grid = Grid(x=place * width, y=top, w=width, h=row.height, i=shown.id)
            panel = Panel(
                type="lens" if shown.type == LENS else "search",
                grid_data=grid,
                panel_index=shown.id,
                panel_ref_name=f"panel_{shown.id}",
            )
            yield panel, shown
        top += row.height


def _controls(choices: Iterable[Choice]) -> ControlGroup:
    controls = {
        choice.id: Control(
            order=order,
            explicit_input=ControlInput(
                id=choice.id, field_name=choice.field, title=choice.title, data_view_id=choice.view.id
            ),
        )
        for order, choice in enumerate(choices)
    }
    return ControlGroup(panels=text(controls), ignore_parent_settings=text(ParentSettings()))
