"""Index templates of log documents and dead letters, made from the tables in `streaming.events.fields`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from streaming.events.fields import DEAD_LETTER_FIELDS, FIELDS, TYPES
from streaming.events.model import Json

Object = dict[str, Json]

PRIORITY = 500
"""Above what a full Elasticsearch and its integrations bring (100 to 250), so that ours wins where patterns meet."""


def logs_pattern(index_prefix: str) -> str:
    """Matches every log index of this installation, whatever its retention class and day."""
    return f"{index_prefix}-logs-*"


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
    return _template(logs_pattern(index_prefix), mappings(), mode)


def dead_letters_template(index_prefix: str) -> Object:
    """The whole index template of dead letters, likewise."""
    return _template(dead_letters_pattern(index_prefix), dead_letters_mappings())


def _template(pattern: str, mappings_of_it: Object, mode: str = STANDARD) -> Object:
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": "1",
                    "number_of_replicas": "0",
                    # Stated, not left to the default of the same value: an index with a stated one refreshes
                    # also while nobody searches, so the first search of the day and `vigil tail` see all.
                    "refresh_interval": "1s",
                    **_MODES[mode],
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
