"""Reads rule files; whatever is wrong is named with its file, line, field, reason and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streaming.alerting.fields import FIELD_NAMES
from streaming.alerting.messages import Severity
from streaming.alerting.rules.base import RuleBase
from streaming.alerting.rules.match import MatchRule, TextCondition, Where
from streaming.alerting.rules.node_health import NodeHealthRule, NodeWhere
from streaming.alerting.rules.ruleset import Rule, RuleFile, RuleSet
from streaming.errors import ConfigError
from streaming.events.model import Level

Location = tuple[int | str, ...]


def rule_files(path: Path) -> list[Path]:
    """The rule files under a folder (`*.yaml`, by name), or the one file itself.

    Raises:
        ConfigError: there is none.
    """
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ConfigError("no rule files here", file=path, remedy="Set VIGIL_RULES_PATH, or write rules/default.yaml")
    return files


def load_rules(path: Path) -> RuleSet:
    """Reads and checks the rules of a folder or a file.

    Raises:
        ConfigError: the first thing wrong, with its place.
    """
    return load_texts([(file, _read(file)) for file in rule_files(path)])


def load_texts(texts: Sequence[tuple[Path, str]]) -> RuleSet:
    """The same from texts that were read already; the files only name the places."""
    rules: list[Rule] = []
    seen: dict[str, str] = {}
    for file, text in texts:
        parsed, lines = _parse(file, text)
        for index, rule in enumerate(_validate(file, parsed, lines).rules):
            line = _line(lines, ("rules", index, "id"))
            if rule.id in seen:
                raise ConfigError(
                    f"{rule.id!r} is a rule already", file=file, line=line, field="id", remedy=seen[rule.id]
                )
            seen[rule.id] = f"The first is at {file}:{line}"
            rules.append(rule)
    return RuleSet(rules=tuple(rules))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=file) from error


class _Lines(yaml.SafeLoader):
    """Loads plain data and notes the line of every key and item."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lines: dict[Location, int] = {}

    def data(self) -> object:
        node = self.get_single_node()
        if node is None:
            return None
        self._note(node, ())
        return self.construct_document(node)

    def _note(self, node: yaml.Node, place: Location) -> None:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            known: set[Hashable] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in known:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", key.start_mark)
                known.add(name)
                self.lines[(*place, name)] = key.start_mark.line + 1
                self._note(value, (*place, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note(item, (*place, index))


def _parse(file: Path, text: str) -> tuple[object, dict[Location, int]]:
    loader = None
    try:
        loader = _Lines(text)
        return loader.data(), loader.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"not valid YAML: {error.problem or error.context}", file=file, line=mark.line + 1 if mark else None
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, LookupError) as error:
        # PyYAML raises what its own code stumbles upon where a tag does not fit: `!!bool x` is a KeyError.
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", file=file) from error
    finally:
        if loader:
            loader.dispose()


def _validate(file: Path, parsed: object, lines: dict[Location, int]) -> RuleFile:
    if not isinstance(parsed, dict):
        raise ConfigError("a rule file is a mapping with the key 'rules'", file=file, line=1)
    try:
        return RuleFile.model_validate(parsed)
    except ValidationError as error:
        raise _as_config_error(file, error.errors(include_url=False)[0], lines) from error


_KINDS = ("match", "node-health")


def _as_config_error(file: Path, error: ErrorDetails, lines: dict[Location, int]) -> ConfigError:
    # Pydantic names the kind of a tagged union as a step of the place; the file has no such step.
    place = tuple(step for step in error["loc"] if step not in (*_KINDS, "[key]"))
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        place = (*place, "kind")
    return ConfigError(
        _reason(error), file=file, line=_line(lines, place), field=_dotted(place), remedy=_remedy(error, place)
    )


def _dotted(place: Location) -> str:
    """`rules[0].where.levels[1]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def _line(lines: dict[Location, int], place: Location) -> int | None:
    """The line of a place, or of the nearest thing around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _reason(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "no such key"
    if kind == "missing":
        return "is missing"
    if kind == "union_tag_invalid":
        return f"{_tag(error)!r} is no kind of rule"
    if kind == "union_tag_not_found":
        return "is missing"
    return error["msg"].removeprefix("Value error, ")


def _tag(error: ErrorDetails) -> str:
    return str(error.get("ctx", {}).get("tag", ""))


def _remedy(error: ErrorDetails, place: Location) -> str | None:
    """What was perhaps meant: the nearest word that would have been right there."""
    kind, last = error["type"], str(place[-1]) if place else ""
    if kind.startswith("union_tag"):
        return _nearest(_tag(error), _KINDS)
    if kind == "extra_forbidden":
        return _nearest(last, _keys_at(place))
    if "no field that rules know" in error["msg"]:
        return _nearest(str(error["input"]), (*FIELD_NAMES, "labels.NAME"))
    if kind in ("enum", "literal_error"):
        words = [str(w) for w in (*Level, *Severity, "default", "canary") if str(w) in error["msg"]]
        return _nearest(str(error["input"]), words)
    return None


def _keys_at(place: Location) -> list[str]:
    """The keys that may stand where an unknown one does."""
    parents = [step for step in place[:-1] if isinstance(step, str)]
    if not parents:
        return list(RuleFile.model_fields)
    if parents[-1] == "where":
        return [*Where.model_fields, *NodeWhere.model_fields]
    if parents[-1] == "rules":
        return sorted({*RuleBase.model_fields, *MatchRule.model_fields, *NodeHealthRule.model_fields})
    return list(TextCondition.model_fields)


def _nearest(word: str, among: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, among, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Possible: {', '.join(among)}"
