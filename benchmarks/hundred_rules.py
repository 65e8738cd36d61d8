"""A hundred match rules as a platform of some teams has them: by level, service, code, text and regular expression."""

from __future__ import annotations

from pathlib import Path

import yaml

RULES = 100


def write(folder: Path) -> Path:
    """Writes them as `rules.yaml` into a new folder, and returns the folder. One fires for each probe of
    `benchmarks.latency`; the load fires none."""
    folder.mkdir(parents=True)
    rules = [_probe_rule(), *map(_rule, range(1, RULES))]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"rules": rules}, sort_keys=False), encoding="utf-8")
    return folder


def _probe_rule() -> dict[str, object]:
    return {
        "id": "probe",
        "kind": "match",
        "where": {"levels": ["ERROR", "FATAL"], "fields": {"service.name": {"not_prefix": "vigil-"}}},
        "group_by": ["service.name", "error.code"],
        "severity": "error",
        "title": "{{ service.name }} {{ error.code }}: {{ error.message or message }}",
        "resolve_after": "10m",
    }


def _rule(number: int) -> dict[str, object]:
    choices: list[dict[str, object]] = [
        {"service.name": {"equals": f"team-{number}"}},
        {"error.code": {"prefix": f"E-{number:03d}-"}},
        {"message": {"contains": f"limit {number} exceeded"}},
        {"message": {"matches": rf"connection to db-{number} (refused|reset) after \d+ ms"}},
        {"service.node.name": {"prefix": f"rack-{number}-"}, "message": {"not_contains": "expected"}},
    ]
    levels = [["ERROR", "FATAL"], ["WARN", "ERROR"], ["INFO", "WARN", "ERROR", "FATAL"]][number % 3]
    return {
        "id": f"rule-{number:03d}",
        "kind": "match",
        "where": {"levels": levels, "fields": choices[number % len(choices)]},
        "group_by": ["service.name"],
        "severity": "warning",
        "title": "{{ service.name }}: {{ message }}",
        "resolve_after": "5m",
    }
