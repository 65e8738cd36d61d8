"""Tests of rules: what they find, and how their files are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streaming.alerting.rehearsal.cases import CaseFile, load_cases, run_case
from streaming.alerting.rules.loading import load_rules, load_texts
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

RULES = load_texts(
    [
        (
            Path("r.yaml"),
            """
rules:
  - {id: errors, kind: match, where: {levels: [ERROR]}, group_by: [service.name], severity: error,
     title: "{{ service.name }}: {{ message }}", resolve_after: 1m}
  - {id: many, kind: threshold, where: {levels: [WARN]}, window: 1m, count: 5, severity: warning, title: many}
""",
        )
    ]
)


def differences(text: str) -> list[str]:
    (case,) = CaseFile.model_validate({"tests": [yaml.safe_load(text)]}).tests
    return run_case(RULES, case)


def test_what_comes_as_expected_leaves_nothing_to_say() -> None:
    text = """
    name: one
    logs: [{at: 5s, message: "it broke {n}", repeat: 3}]
    until: 2m
    expect: [{rule: errors, count: 3, state: resolved, title: "order: it broke 2", told: [open, update, resolve]}]
    """
    assert differences(text) == []


def test_each_difference_is_named() -> None:
    text = """
    name: one
    logs: [{at: 5s, repeat: 3}]
    until: 10s
    expect: [{rule: errors, count: 4, state: resolved, severity: critical}, {rule: many}]
    """
    assert differences(text) == [
        "errors {'service.name': 'order'}: count is 3, expected 4",
        "errors {'service.name': 'order'}: state is firing, expected resolved",
        "errors {'service.name': 'order'}: severity is error, expected critical",
        "no incident of rule many",
    ]


def test_what_was_not_expected_is_named_unless_others_may_follow() -> None:
    text = "{name: one, logs: [{}], until: 10s}"
    assert differences(text) == ["not expected: errors {'service.name': 'order'}: order: it broke"]
    assert differences("{name: one, logs: [{}], until: 10s, others: true}") == []


@pytest.mark.parametrize(("repeat", "expected"), [(4, []), (5, [{"rule": "many", "count": 5}])])
def test_counts_fire_where_they_reach_their_number(repeat: int, expected: list[object]) -> None:
    text = f"{{name: one, logs: [{{level: WARN, repeat: {repeat}}}], until: 30s, expect: {expected!r}}}"
    assert differences(text) == []


@pytest.mark.parametrize(
    ("text", "line", "field", "said"),
    [
        ("tests:\n  - name: a\n    untl: 1m\n", 2, "tests[0].until", "required"),
        ("tests:\n  - name: a\n    until: 1m\n    logz: []\n", 4, "tests[0].logz", "no such key"),
        ("tests:\n  - name: a\n    until: 1m\n    logs:\n      - {at: 2m}\n", 2, "tests[0]", "the last of what comes"),
        ("tests:\n  - name: a\n    until: soon\n", 3, "tests[0].until", "such as 5m"),
        ("tests: [\n", 2, None, "not valid YAML"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, field: str | None, said: str
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as caught:
        load_cases(file)
    assert (caught.value.line, caught.value.field) == (line, field)


def test_the_default_rules_pass_their_own_tests() -> None:
    rules = load_rules(CHECKOUT / "rules")
    for case in load_cases(CHECKOUT / "rules" / "tests" / "default.yaml").tests:
        assert run_case(rules, case) == [], case.name
