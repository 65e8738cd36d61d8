"""What pydantic finds wrong with a rule file, said with file, line, field, reason and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from streaming.alerting.fields import FIELD_NAMES
from streaming.alerting.messages import Severity
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.routes import RECEIVER_KINDS
from streaming.alerting.rules.ruleset import RULE_KINDS, RuleFile
from streaming.alerting.rules.weekly import Day
from streaming.alerting.rules.yaml_lines import Lines, Location, dotted, line_of
from streaming.errors import ConfigError

KINDS: dict[str, dict[str, type[BaseModel]]] = {
    key: {str(kind): model for model in models for kind in get_args(model.model_fields["kind"].annotation)}
    for key, models in (("rules", RULE_KINDS), ("receivers", RECEIVER_KINDS))
}
"""The entries that have a `kind`: by the key of their list, the model of each kind."""


def as_config_error(file: Path, error: ErrorDetails, lines: Lines) -> ConfigError:
    """One of pydantic's errors, as a person who edits the file wants it."""
    place = _in_file(error["loc"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        place = (*place, "kind")
    return ConfigError(
        _reason(error), file=file, line=line_of(lines, place), field=dotted(place), remedy=_remedy(error, place)
    )


def nearest(word: str, among: Sequence[str]) -> str:
    """What was perhaps meant, or all that is possible."""
    close = difflib.get_close_matches(word, among, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Possible: {', '.join(among)}"


def _in_file(loc: Location) -> Location:
    """Pydantic names the kind of a tagged union as a step of the place, and models of a plain union: the file has no
    such steps."""
    models = {"[key]", *(model.__name__ for model in (*RULE_KINDS, *RECEIVER_KINDS)), "Secret", "constrained-str"}
    tagged = len(loc) > 2 and loc[0] in KINDS and loc[2] in KINDS[str(loc[0])]
    kept = (*loc[:2], *loc[3:]) if tagged else loc
    return tuple(step for step in kept if step not in models)


def _reason(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "no such key"
    if kind in ("missing", "union_tag_not_found"):
        return "is missing"
    if kind == "union_tag_invalid":
        return f"{_tag(error)!r} is no kind of {'receiver' if 'receivers' in error['loc'] else 'rule'}"
    return error["msg"].removeprefix("Value error, ")


def _tag(error: ErrorDetails) -> str:
    return str(error.get("ctx", {}).get("tag", ""))


def _remedy(error: ErrorDetails, place: Location) -> str | None:
    """What was perhaps meant: the nearest word that would have been right there."""
    kind, last = error["type"], str(place[-1]) if place else ""
    if kind.startswith("union_tag"):
        return nearest(_tag(error), list(KINDS[str(place[0])]))
    if kind == "extra_forbidden":
        return nearest(last, _keys_at(error["loc"]))
    if "no field that rules know" in error["msg"]:
        return nearest(str(error["input"]), (*FIELD_NAMES, "labels.NAME"))
    if kind in ("enum", "literal_error"):
        words = [str(w) for w in (*Day, *Severity, "starttls", "tls", "none") if f"'{w}'" in error["msg"]]
        upper = [word for word in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") if f"'{word}'" in error["msg"]]
        return nearest(str(error["input"]), [*words, *upper])
    return None


def _keys_at(loc: Location) -> list[str]:
    """The keys that may stand where an unknown one does."""
    model: object = RuleFile
    for step in loc[:-1]:
        model = _within(model, step)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return sorted(field.alias or name for name, field in model.model_fields.items())
    return list(TextCondition.model_fields)


def _within(model: object, step: int | str) -> object:
    """The type of what stands under a key, an index or a kind."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        return _plain(fields[str(step)].annotation) if step in fields else None
    arguments = [_plain(argument) for argument in get_args(model)]
    if get_origin(model) is tuple:
        return arguments[0]
    if get_origin(model) is dict:
        return arguments[1]
    tagged = {**KINDS["rules"], **KINDS["receivers"]}
    if step in tagged:
        return tagged[str(step)]
    named = [one for one in arguments if isinstance(one, type) and one.__name__ == step]
    return named[0] if named else model


def _plain(annotation: object) -> object:
    """Without `Annotated` and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    some = [argument for argument in get_args(annotation) if argument is not type(None)]
    if len(some) == 1 and len(get_args(annotation)) == 2 and get_origin(annotation) is not tuple:
        return _plain(some[0])
    return annotation
