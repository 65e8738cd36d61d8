"""What Kibana 9.0 accepts as attributes of each type of saved object: its schemas, as far as they are enforced.

Written from Kibana's sources, and not from what infra/kibana makes, so that the two can disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Check = Callable[[object], bool]
Object = dict[str, object]

KNOWN_VERSIONS = {"index-pattern": (8, 0, 0), "search": (10, 5, 0), "lens": (8, 9, 0), "dashboard": (10, 2, 0)}
"""The highest version of each type that Kibana 9.0 knows; a document of a higher one is refused, and the request with
it."""


def text(value: object) -> bool:
    return isinstance(value, str)


def boolean(value: object) -> bool:
    return isinstance(value, bool)


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def texts(value: object) -> bool:
    return isinstance(value, list) and all(map(text, value))


def anything(_: object) -> bool:
    return True


def shaped(known: Mapping[str, Check], *required: str, ignores_others: bool = False) -> Check:
    """An object of these keys."""

    def fits(value: object) -> bool:
        return isinstance(value, dict) and not faults(value, known, required, ignores_others)

    return fits


def faults(value: Object, known: Mapping[str, Check], required: tuple[str, ...], ignores_others: bool) -> list[str]:
    """What is wrong, as Kibana says it."""
    found = [f"[{key}]: expected value but got [undefined]" for key in required if key not in value]
    for key, given in value.items():
        if key not in known:
            if not ignores_others:
                found.append(f"[{key}]: definition for this key is missing")
        elif not known[key](given):
            found.append(f"[{key}]: types that failed validation")
    return found


def sorting(value: object) -> bool:
    """Pairs of at most two texts, or one such pair."""
    if not isinstance(value, list):
        return False
    return (texts(value) and len(value) <= 2) or all(texts(pair) and len(pair) <= 2 for pair in value)


META = shaped({"searchSourceJSON": text}, "searchSourceJSON")
REFRESH = shaped({"pause": boolean, "value": number, "display": text, "section": number}, "pause", "value")

SEARCH: dict[str, Check] = {
    "title": text,
    "description": text,
    "columns": texts,
    "sort": sorting,
    "grid": shaped({"columns": anything}),
    "rowHeight": number,
    "headerRowHeight": number,
    "rowsPerPage": number,
    "sampleSize": lambda value: number(value) and 10 <= value <= 10_000,  # type: ignore[operator]
    "density": lambda value: value in ("compact", "expanded", "normal"),
    "hideChart": boolean,
    "breakdownField": text,
    "visContext": anything,
    "kibanaSavedObjectMeta": META,
    "isTextBasedQuery": boolean,
    "usesAdHocDataView": boolean,
    "timeRestore": boolean,
    "timeRange": shaped({"from": text, "to": text}, "from", "to"),
    "refreshInterval": shaped({"pause": boolean, "value": number}, "pause", "value"),
    "viewMode": lambda value: value in ("documents", "patterns", "aggregated"),
    "hideAggregatedPreview": boolean,
    "hits": number,
    "version": number,
}

DASHBOARD: dict[str, Check] = {
    "title": text,
    "description": text,
    "kibanaSavedObjectMeta": shaped({"searchSourceJSON": text}),
    "timeRestore": boolean,
    "timeFrom": text,
    "timeTo": text,
    "refreshInterval": REFRESH,
    "controlGroupInput": shaped(
        {
            "panelsJSON": text,
            "controlStyle": text,
            "chainingSystem": text,
            "ignoreParentSettingsJSON": text,
            "showApplySelections": boolean,
        },
        ignores_others=True,
    ),
    "panelsJSON": text,
    "optionsJSON": text,
    "hits": number,
    "version": number,
}

LENS: dict[str, Check] = {
    "title": text,
    "description": text,
    "visualizationType": text,
    "state": lambda value: isinstance(value, dict),
}
"""No schema, but a mapping that is `dynamic: strict` for all but what lies within `state`."""


def refusal(kind: str, attributes: Object) -> str:
    """Why the attributes of an object are refused; empty: they are not. Data views are not looked at."""
    if kind == "search":
        found = faults(attributes, SEARCH, ("title", "kibanaSavedObjectMeta"), ignores_others=False)
    elif kind == "dashboard":
        found = faults(attributes, DASHBOARD, ("title",), ignores_others=True)
    elif kind == "lens":
        found = [
            f"strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [{key}] is not allowed"
            for key in attributes
            if key not in LENS
        ] or faults(attributes, LENS, ("title",), ignores_others=False)
    else:
        found = []
    return "; ".join(found)


def is_too_new(kind: str, version: str) -> bool:
    """Whether an object of this version comes from a later Kibana."""
    return bool(version) and tuple(int(part) for part in version.split(".")) > KNOWN_VERSIONS[kind]
