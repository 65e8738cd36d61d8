"""Saved searches (sessions of Discover): saved objects of type `search`."""

from __future__ import annotations

from typing import Literal

import msgspec

from infra.kibana.stored.base import UNSET, RefreshInterval, SearchMeta, Stored, TimeRange, Unset


class ColumnSize(Stored, frozen=True, kw_only=True):
    """Width in pixels."""

    width: int | float | Unset = UNSET


class Grid(Stored, frozen=True, kw_only=True):
    """Sizes of columns by field."""

    columns: dict[str, ColumnSize] | Unset = UNSET


class SearchAttributes(Stored, frozen=True, kw_only=True):
    """Model version 5, which Kibana 9.0 writes. Later ones keep the same in a list of tabs, and make it of this when
    they import."""

    title: str
    description: str
    columns: tuple[str, ...]
    sort: tuple[tuple[str, Literal["asc", "desc"]], ...]
    kibana_saved_object_meta: SearchMeta
    grid: Grid = Grid()
    hide_chart: bool = False
    is_text_based_query: Literal[False] = False
    time_restore: bool = False
    time_range: TimeRange | Unset = UNSET
    refresh_interval: RefreshInterval | Unset = UNSET
    breakdown_field: str | Unset = UNSET
    row_height: int | Unset = UNSET
    header_row_height: int | Unset = UNSET
    rows_per_page: int | Unset = UNSET
    sample_size: int | Unset = UNSET
    density: Literal["compact", "expanded", "normal"] | Unset = UNSET
    view_mode: Literal["documents", "patterns", "aggregated"] | Unset = UNSET
    hide_aggregated_preview: bool | Unset = UNSET
    uses_ad_hoc_data_view: Literal[False] | Unset = UNSET
    hits: int | Unset = UNSET
    version: int | Unset = UNSET
    vis_context: dict[str, msgspec.Raw] | Unset = UNSET
