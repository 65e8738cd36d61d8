"""All objects of an installation."""

from __future__ import annotations

from infra.kibana.content.incidents import incident_dashboard
from infra.kibana.content.logs import log_dashboard
from infra.kibana.content.nodes import node_dashboard
from infra.kibana.content.pipeline import pipeline_dashboard
from infra.kibana.content.searches import searches
from infra.kibana.content.views import Naming, views
from infra.kibana.making.data_views import data_view
from infra.kibana.stored.objects import SavedObject


def saved_objects(index_prefix: str) -> list[SavedObject]:
    """Everything that is imported, the same for the same prefix."""
    naming = Naming(index_prefix)
    looks = views(naming)
    found = searches(naming, looks)
    return [
        *(data_view(view) for view in looks.all()),
        *found.all(),
        *log_dashboard(naming, looks, found),
        *incident_dashboard(naming, looks, found),
        *node_dashboard(naming, looks, found),
        *pipeline_dashboard(naming, looks, found),
    ]
