"""Reads rule files; whatever is wrong is named with its file, line, field, reason and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from streaming.alerting.rules.faults import as_config_error
from streaming.alerting.rules.names import ReadFile, check_names
from streaming.alerting.rules.ruleset import RuleFile, RuleSet
from streaming.alerting.rules.yaml_lines import Lines, parse
from streaming.errors import ConfigError


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
    files = []
    for file, text in texts:
        parsed, lines = parse(file, text)
        files.append(ReadFile(file, _validate(file, parsed, lines), lines))
    check_names(files)
    together = {
        name: tuple(entry for one in files for entry in getattr(one.content, name))
        for name in RuleFile.model_fields
        if name != "dead_man"
    }
    dead_man = next((one.content.dead_man for one in files if one.content.dead_man), None)
    return RuleSet.model_validate({**together, "dead_man": dead_man})


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=file) from error


def _validate(file: Path, parsed: object, lines: Lines) -> RuleFile:
    if not isinstance(parsed, dict):
        keys = ", ".join(RuleFile.model_fields)
        raise ConfigError(f"a rule file is a mapping with some of the keys {keys}", file=file, line=1)
    try:
        return RuleFile.model_validate(parsed)
    except ValidationError as error:
        raise as_config_error(file, error.errors(include_url=False)[0], lines) from error
