"""Index templates of logs, dead letters, incidents and nodes, made from the tables in `streaming.events.fields`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from streaming.events.fields import DEAD_LETTER_FIELDS, FIELDS, INCIDENT_FIELDS, NODE_FIELDS, TYPES
from streaming.events.model import Json

Object = dict[str, Json]

PRIORITY = 500
"""Above what a full Elasticsearch and its integrations bring (100 to 250), so that ours wins where patterns meet."""


def logs_pattern(index_prefix: str) -> str:
    """Matches every log index of this installation, whatever its retention class and day."""
    return f"{index_prefix}-logs-*"


def logs_data_view(index_prefix: str) -> str:
    """Id of the logs' data view in Kibana: infra/kibana makes it, and links in messages lead to it."""
    return f"{index_prefix}-logs"


def template_name(index_prefix: str) -> str:
    """What the template is called in Elasticsearch."""
    return f"{index_prefix}-logs"


def dead_letters_pattern(index_prefix: str) -> str:
    """Matches every index of dead letters, whatever its day."""
    return f"{index_prefix}-dead-letters-*"


def dead_letters_template_name(index_prefix: str) -> str:
    """What the template of dead letters is called in Elasticsearch."""
    return f"{index_prefix}-dead-letters"


def dead_letters_mappings() -> Object:
    """Mapping of an index of dead letters."""
    return {"dynamic": "false", "properties": _nested(DEAD_LETTER_FIELDS)}


@dataclass(frozen=True)
class History:
    """Indices of what happened to incidents, or to nodes: `events`, one a month, in which each event is a document of
    its own, and `last`, in which each incident or node is one document that says how it is since its last event. Both
    have the same mapping. `last_is_monthly`: it is parted by month too, so that what is old can be deleted whole.
    """

    events: str
    last: str
    last_is_monthly: bool
    fields: Mapping[str, str]

    def events_pattern(self, index_prefix: str) -> str:
        """Matches the indices of all months."""
        return f"{index_prefix}-{self.events}-*"

    def last_pattern(self, index_prefix: str) -> str:
        """Matches the indices, or the index, of how things are now."""
        return f"{index_prefix}-{self.last}{'-*' if self.last_is_monthly else ''}"

    def template_name(self, index_prefix: str) -> str:
        """What their template is called in Elasticsearch."""
        return f"{index_prefix}-{self.last}"

    def mappings(self) -> Object:
        """Mapping of each of them."""
        return {"dynamic": "false", "properties": _nested(self.fields)}

    def template(self, index_prefix: str) -> Object:
        """Their index template."""
        patterns = [self.events_pattern(index_prefix), self.last_pattern(index_prefix)]
        # Unlike logs they are small, and Kafka has the events for 30 days at most: a second node keeps a copy.
        return _template(patterns, self.mappings(), {"auto_expand_replicas": "0-1"})


INCIDENTS = History("incident-events", "incidents", True, INCIDENT_FIELDS)
NODES = History("node-status", "nodes", False, NODE_FIELDS)
HISTORIES = (INCIDENTS, NODES)


def mappings() -> Object:
    """Mapping of a log index. `dynamic` false: what is not declared is kept and never becomes a field."""
    return {"dynamic": "false", "properties": _nested(FIELDS)}


STANDARD, LOGSDB = "standard", "logsdb"
"""Values of Elasticsearch's `index.mode` that log indices may have."""

_MODES: dict[str, Object] = {
    # Stated too, so that the way back from logsdb is a difference that is seen.
    STANDARD: {"mode": STANDARD},
    LOGSDB: {
        "mode": LOGSDB,
        # Neighbours that are alike are what makes it small; canonical logs have a node and often no host.
        "sort": {"field": ["service.node.name", "@timestamp"], "order": ["asc", "desc"]},
        # A synthetic source sorts arrays and drops what comes twice in them; and it needs a paid licence.
        "mapping": {"source": {"mode": "stored"}},
    },
}


def template(index_prefix: str, mode: str = STANDARD) -> Object:
    """The whole index template, in the form in which Elasticsearch gives it back (settings nested, as text)."""
    return _template([logs_pattern(index_prefix)], mappings(), _MODES[mode])


def dead_letters_template(index_prefix: str) -> Object:
    """The whole index template of dead letters, likewise."""
    return _template([dead_letters_pattern(index_prefix)], dead_letters_mappings(), _MODES[STANDARD])


def _template(patterns: list[str], mappings_of_it: Object, settings: Object) -> Object:
    return {
        "index_patterns": cast(Json, patterns),
        "priority": PRIORITY,
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": "1",
                    "number_of_replicas": "0",
                    # Stated, not left to the default of the same value: an index with a stated one refreshes
                    # also while nobody searches, so the first search of the day and `vigil tail` see all.
                    "refresh_interval": "1s",
                    **settings,
                }
            },
            "mappings": mappings_of_it,
        },
        "_meta": {"managed_by": "vigil"},
    }


_DEFAULTS = {"depth_limit": 20}
"""Elasticsearch leaves out of an index's mapping what equals its default; declared, it would look like drift."""


def _nested(fields: Mapping[str, str]) -> Object:
    properties: Object = {}
    for name, kind in fields.items():
        *parents, leaf = name.split(".")
        level = properties
        for parent in parents:
            level = cast(Object, cast(Object, level.setdefault(parent, {"properties": {}}))["properties"])
        level[leaf] = cast(Object, {k: v for k, v in TYPES[kind].items() if _DEFAULTS.get(k) != v})
    return properties


def differences(wanted: Json, found: Json, path: str = "") -> Iterator[str]:
    """What of `wanted` is not so in `found`, one line each; what `found` has besides is not looked at."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            place = f"{path}.{key}" if path else key
            if key in found:
                yield from differences(value, found[key], place)
            else:
                yield f"{place} is missing"
    elif _text(wanted) != _text(found):
        yield f"{path} is {found!r}, should be {wanted!r}"


def _text(value: Json) -> Json:
    """Elasticsearch gives some booleans and numbers back as text, depending on where they stand."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
