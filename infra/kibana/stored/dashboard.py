"""Dashboards: saved objects of type `dashboard`."""

from __future__ import annotations

from typing import Literal

import msgspec

from infra.kibana.stored.base import UNSET, Empty, RefreshInterval, SearchMeta, Stored, Unset

COLUMNS = 48
"""A dashboard's grid is so many columns wide; a row is 20 pixels."""


class Grid(Stored, frozen=True, kw_only=True):
    """Where a panel is: columns and rows from the top left corner."""

    x: int
    y: int
    w: int
    h: int
    i: str
    """The panel's id again."""


class PanelConfig(Stored, frozen=True, kw_only=True):
    """What a panel says otherwise than what it shows."""

    enhancements: Empty = Empty()
    hide_panel_titles: bool | Unset = UNSET
    title: str | Unset = UNSET
    description: str | Unset = UNSET


class Panel(Stored, frozen=True, kw_only=True):
    """A panel that shows another saved object, by the reference `PANEL_INDEX:PANEL_REF_NAME`."""

    type: Literal["lens", "search"]
    grid_data: Grid
    panel_index: str
    panel_ref_name: str
    embeddable_config: PanelConfig = PanelConfig()
    title: str | Unset = UNSET
    version: str | Unset = UNSET


class ControlSort(Stored, frozen=True, kw_only=True):
    """The order in which a control offers values."""

    by: Literal["_count", "_key"] = "_count"
    direction: Literal["asc", "desc"] = "desc"


class ControlInput(Stored, frozen=True, kw_only=True):
    """What a control offers: the values of a field. Releases of 9.x find its data view in different ways: by the
    control's reference, or by `data_view_id`, so there are both."""

    id: str
    field_name: str
    title: str
    data_view_id: str
    search_technique: Literal["prefix", "wildcard", "exact"] = "prefix"
    selected_options: tuple[str, ...] = ()
    sort: ControlSort = ControlSort()


class Control(Stored, frozen=True, kw_only=True):
    """A list of values above the panels. Its data view is the reference `controlGroup_ID:optionsListDataView`."""

    order: int
    explicit_input: ControlInput
    type: Literal["optionsListControl"] = "optionsListControl"
    width: Literal["small", "medium", "large"] = "medium"
    grow: bool = True


class ControlGroup(Stored, frozen=True, kw_only=True):
    """All controls; JSON within JSON: `dict[str, Control]`, `ParentSettings`."""

    panels: str = msgspec.field(name="panelsJSON")
    ignore_parent_settings: str = msgspec.field(name="ignoreParentSettingsJSON")
    control_style: Literal["oneLine", "twoLine"] = "oneLine"
    chaining_system: Literal["HIERARCHICAL", "NONE"] = "HIERARCHICAL"
    show_apply_selections: bool = False


class ParentSettings(Stored, frozen=True, kw_only=True):
    """What of the dashboard controls do not heed."""

    ignore_filters: bool = False
    ignore_query: bool = False
    ignore_timerange: bool = False
    ignore_validations: bool = False


class Options(Stored, frozen=True, kw_only=True):
    """How panels stand together."""

    use_margins: bool = True
    sync_colors: bool = True
    sync_cursor: bool = True
    sync_tooltips: bool = False
    hide_panel_titles: bool = False


class DashboardAttributes(Stored, frozen=True, kw_only=True):
    """Model version 2, which Kibana 9.0 writes. JSON within JSON: panels (`list[Panel]`), `Options`."""

    title: str
    description: str
    kibana_saved_object_meta: SearchMeta
    panels: str = msgspec.field(name="panelsJSON")
    options: str = msgspec.field(name="optionsJSON")
    time_restore: bool
    time_from: str | Unset = UNSET
    time_to: str | Unset = UNSET
    refresh_interval: RefreshInterval | Unset = UNSET
    control_group_input: ControlGroup | Unset = UNSET
    version: Literal[1] = 1
    hits: int | Unset = UNSET


def panel_reference(panel_index: str, ref_name: str) -> str:
    """Name of a panel's reference to what it shows."""
    return f"{panel_index}:{ref_name}"


def control_reference(control_id: str) -> str:
    """Name of a control's reference to its data view."""
    return f"controlGroup_{control_id}:optionsListDataView"
