"""Data views: which indices, by which time, and how numbers of them are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.kibana.indices import Index
from infra.kibana.stored.base import UNSET, Reference, text
from infra.kibana.stored.data_view import DataViewAttributes, FieldFormat, FormatParams, SourceFilter
from infra.kibana.stored.objects import DATA_VIEW, SavedObject, made

NANOSECONDS_AS_MS = FieldFormat(
    id="duration",
    params=FormatParams(
        input_format="nanoseconds",
        output_format="asMilliseconds",
        output_precision=1,
        show_suffix=True,
        use_short_suffix=True,
    ),
)
MILLISECONDS_AS_S = FieldFormat(
    id="duration",
    params=FormatParams(
        input_format="milliseconds",
        output_format="asSeconds",
        output_precision=2,
        show_suffix=True,
        use_short_suffix=True,
    ),
)
NANOSECONDS_FOR_PEOPLE = FieldFormat(
    id="duration",
    params=FormatParams(
        input_format="nanoseconds",
        output_format="humanizePrecise",
        output_precision=1,
        show_suffix=True,
        use_short_suffix=True,
    ),
)
"""Minutes, hours or days, whichever fit."""
BYTES = FieldFormat(id="bytes")
PLAIN_NUMBER = FieldFormat(id="number", params=FormatParams(pattern="0"))
"""Without separators of thousands: ports, codes, offsets."""


@dataclass(frozen=True)
class View:
    """A data view. Searches and charts are made of one. With an empty `time_field`, a dashboard's time range narrows
    nothing of it: for documents that say how things are now, however long they have been so."""

    id: str
    name: str
    index: Index
    time_field: str = "@timestamp"
    formats: Mapping[str, FieldFormat] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Fields that Discover leaves out."""

    def reference(self, name: str) -> Reference:
        """To this view, by this name."""
        return Reference(id=self.id, name=name, type=DATA_VIEW)


def data_view(view: View) -> SavedObject:
    """The saved object."""
    attributes = DataViewAttributes(
        title=view.index.pattern,
        name=view.name,
        time_field_name=view.time_field or UNSET,
        field_format_map=text(dict(view.formats)),
        source_filters=text([SourceFilter(value=name) for name in view.hidden]),
    )
    return made(DATA_VIEW, view.id, attributes, ())
