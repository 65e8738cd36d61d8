"""JSON within JSON: the parts of objects that Kibana stores as text, decoded as strictly as the rest."""

from __future__ import annotations

from infra.kibana.stored.base import SearchSource
from infra.kibana.stored.dashboard import Control, DashboardAttributes, Options, Panel, ParentSettings
from infra.kibana.stored.data_view import DataViewAttributes, FieldAttributes, FieldFormat, SourceFilter
from infra.kibana.stored.objects import decode
from infra.kibana.stored.search import SearchAttributes


def source_of(held: SearchAttributes | DashboardAttributes) -> SearchSource:
    """The query of a search or dashboard. Raises Unfit, as all here."""
    return decode(held.kibana_saved_object_meta.source, SearchSource, "searchSourceJSON")


def panels_of(held: DashboardAttributes) -> tuple[Panel, ...]:
    """What a dashboard shows."""
    return decode(held.panels, tuple[Panel, ...], "panelsJSON")


def options_of(held: DashboardAttributes) -> Options:
    """How its panels stand together."""
    return decode(held.options, Options, "optionsJSON")


def controls_of(held: DashboardAttributes) -> dict[str, Control]:
    """Its controls by id; none where it has none."""
    group = held.control_group_input
    if not group:
        return {}
    decode(group.ignore_parent_settings, ParentSettings, "ignoreParentSettingsJSON")
    return decode(group.panels, dict[str, Control], "controlGroupInput.panelsJSON")


def formats_of(held: DataViewAttributes) -> dict[str, FieldFormat]:
    """How fields are shown, by name."""
    return decode(held.field_format_map, dict[str, FieldFormat], "fieldFormatMap")


def names_of(held: DataViewAttributes) -> dict[str, FieldAttributes]:
    """What people say of fields, by name."""
    return decode(held.field_attrs, dict[str, FieldAttributes], "fieldAttrs")


def hidden_of(held: DataViewAttributes) -> tuple[SourceFilter, ...]:
    """Fields that Discover leaves out."""
    return decode(held.source_filters, tuple[SourceFilter, ...], "sourceFilters")
