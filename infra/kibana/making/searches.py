"""Saved searches: which documents, which columns."""

from __future__ import annotations

from dataclasses import dataclass

from infra.kibana.making.data_views import View
from infra.kibana.stored.base import INDEX_REFERENCE, UNSET, Kql, SearchMeta, SearchSource, TimeRange, text
from infra.kibana.stored.objects import SEARCH, SavedObject, made
from infra.kibana.stored.search import SearchAttributes


@dataclass(frozen=True)
class Search:
    """A search. `since` is the time range that it opens with (`now-1h`); empty: the one that is chosen already.
    `by`: the field by whose values its chart is parted. `order`: what it is sorted by, if not the view's time field."""

    id: str
    title: str
    description: str
    view: View
    columns: tuple[str, ...]
    query: str = ""
    since: str = ""
    oldest_first: bool = False
    by: str = ""
    order: str = ""


def search(wanted: Search) -> SavedObject:
    """The saved object."""
    source = SearchSource(
        query=Kql(query=wanted.query), index_ref_name=INDEX_REFERENCE, highlight_all=True, version=True
    )
    attributes = SearchAttributes(
        title=wanted.title,
        description=wanted.description,
        columns=wanted.columns,
        sort=((wanted.order or wanted.view.time_field, "asc" if wanted.oldest_first else "desc"),),
        kibana_saved_object_meta=SearchMeta(source=text(source)),
        time_restore=bool(wanted.since),
        time_range=TimeRange(start=wanted.since) if wanted.since else UNSET,
        breakdown_field=wanted.by or UNSET,
    )
    return made(SEARCH, wanted.id, attributes, [wanted.view.reference(INDEX_REFERENCE)])
