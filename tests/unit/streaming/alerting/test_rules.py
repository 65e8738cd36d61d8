"""Rule files: what is good, what is wrong, and that each fault is named with its place and remedy."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.rules.base import render_title
from streaming.alerting.rules.loading import load_rules, load_texts
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.schema import SCHEMA_FILE, schema_text
from streaming.alerting.rules.source import RuleSource
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

GOOD = """\
rules:
  - id: one
    kind: match
    where:
      levels: [ERROR]
      fields:
        service.name: {not_prefix: vigil-}
    group_by: [service.name]
    severity: error
    title: "{{ message }}"
    resolve_after: 5m
"""


def load(text: str) -> RuleSet:
    return load_texts([(Path("x.yaml"), text)])


def fault(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return caught.value


def test_the_rules_that_come_with_vigil_are_good() -> None:
    rules = load_rules(CHECKOUT / "rules")
    assert {"fatal-log", "error-log", "vigil-worker-error", "canary", "node-down"} <= {rule.id for rule in rules.rules}


def test_the_published_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "write it anew: python -m streaming.alerting.rules.schema"
    )


def test_lengths_of_time_are_seconds() -> None:
    rule = load(GOOD).rules[0]
    assert isinstance(rule, MatchRule)
    assert rule.resolve_after == 300


@pytest.mark.parametrize(
    "text",
    [
        "a: !!timestamp x",
        "a: !!bool x",
        "a: !!int x",
        "a: \0",
        GOOD.replace("{{ message }}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"),
        GOOD.replace("{{ message }}", "{% for i in x %}" * 40 + "{% endfor %}" * 40),
    ],
)
def test_what_trips_the_readers_themselves_is_a_fault_of_the_file(text: str) -> None:
    assert "\n" not in str(fault(text))


@pytest.mark.parametrize("endless", [".inf", ".nan", '"' + "9" * 400 + 'd"'])
def test_a_length_of_time_without_end_is_none(endless: str) -> None:
    assert fault(GOOD.replace("5m", endless)).field == "rules[0].resolve_after"


def test_a_set_keeps_its_version_through_the_topic_and_through_changes_that_mean_nothing() -> None:
    rules = load(GOOD)
    assert RuleSet.decode(rules.encode()).version == rules.version
    assert load("# a comment\n" + GOOD.replace("5m", "300s")).version == rules.version
    assert load(GOOD.replace("5m", "6m")).version != rules.version


@pytest.mark.parametrize(
    ("change", "line", "field", "said"),
    [
        (("levels: [ERROR]", "levels: [EROR]"), 5, "rules[0].where.levels[0]", "Did you mean ERROR?"),
        (("severity: error", "severity: eror"), 9, "rules[0].severity", "Did you mean error?"),
        (("severity: error", "severty: error"), 2, "rules[0].severity", "is missing"),
        (("    severity: error", "    severity: error\n    rout: x"), 10, "rules[0].rout", "Did you mean route?"),
        (("kind: match", "kind: mach"), 3, "rules[0].kind", "Did you mean match?"),
        (("    kind: match\n", ""), 2, "rules[0].kind", "is missing"),
        (("[service.name]", "[service.nam]"), 8, "rules[0].group_by[0]", "Did you mean service.name?"),
        (("service.name: {", "servce.name: {"), 7, "rules[0].where.fields.servce.name", "Did you mean service.name?"),
        (("not_prefix: vigil-", "not_prefx: a"), 7, "rules[0].where.fields.service.name.not_prefx", "not_prefix?"),
        (("{not_prefix: vigil-}", "{}"), 7, "rules[0].where.fields.service.name", "asks nothing"),
        (("5m", "5 minutes"), 11, "rules[0].resolve_after", "such as 5m"),
        (("{{ message }}", "{{ message"), 10, "rules[0].title", "no valid Jinja template"),
        (("not_prefix: vigil-", "matches: '('"), 7, "rules[0].where.fields.service.name.matches[0]", "RE2"),
        (("id: one", "id: One!"), 2, "rules[0].id", "pattern"),
        (("rules:", "rule:"), 1, "rule", "Did you mean rules?"),
    ],
)
def test_a_fault_is_named_with_line_field_and_remedy(change: tuple[str, str], line: int, field: str, said: str) -> None:
    error = fault(GOOD.replace(*change))
    assert (error.file, error.line, error.field) == (Path("x.yaml"), line, field)
    assert said in str(error)


def test_a_rule_that_would_match_every_log_is_refused() -> None:
    text = 'rules: [{id: a, kind: match, where: {}, severity: info, title: "x"}]'
    assert "would match every log" in str(fault(text))


@pytest.mark.parametrize(
    "text", ["rules: [", "rules: [}]", "a: 1\na: 2", "- 1", "", "rules: 3", "\t", "rules: !!python/x 1"]
)
def test_what_is_no_rule_file_is_named_as_such(text: str) -> None:
    assert fault(text).file == Path("x.yaml")


def test_a_key_that_is_given_twice_is_an_error() -> None:
    error = fault(GOOD.replace("    severity: error\n", "    severity: error\n    severity: info\n"))
    assert error.line == 10
    assert "given twice" in str(error)


def test_an_id_that_is_taken_names_the_other_place() -> None:
    with pytest.raises(ConfigError) as caught:
        load_texts([(Path("x.yaml"), GOOD), (Path("y.yaml"), GOOD)])
    assert caught.value.file == Path("y.yaml")
    assert "The first is at x.yaml:2" in str(caught.value)


def test_a_folder_without_rules_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rule files"):
        load_rules(tmp_path)


@given(st.text(max_size=200))
def test_no_text_fails_otherwise_than_with_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        load(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
keys = st.sampled_from(
    ["id", "kind", "where", "group_by", "severity", "title", "levels", "fields", "enabled", "labels"]
)


@given(st.lists(st.dictionaries(keys, json_values | st.sampled_from(["match", "node-health"]), max_size=6), max_size=3))
def test_no_shape_fails_otherwise_than_with_a_config_error(rules: list[object]) -> None:
    with contextlib.suppress(ConfigError):
        load(json.dumps({"rules": rules}))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_broken_change_keeps_the_last_good_set(tmp_path: Path) -> None:
    file, clock = tmp_path / "r.yaml", Clock()
    file.write_text(GOOD, encoding="utf-8")
    source = RuleSource(tmp_path, lambda: None, clock)
    before = source.rules.version
    file.write_text(GOOD.replace("severity: error", "severity: nonsense"), encoding="utf-8")
    assert not source.changed(), "it looks every two seconds"
    clock.now += 2.5
    assert source.changed()
    assert source.rules.version == before
    assert source.broken is not None
    assert source.broken.line == 9
    file.write_text(GOOD.replace("id: one", "id: other"), encoding="utf-8")
    clock.now += 2.5
    assert source.changed()
    assert source.rules.rules[0].id == "other"
    clock.now += 2.5
    assert not source.changed()
    assert str(source.broken) == "None"


def test_a_broken_start_takes_the_last_good_set_and_without_one_refuses(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("rules: [", encoding="utf-8")
    kept = load(GOOD)
    source = RuleSource(tmp_path, lambda: kept)
    assert source.rules is kept
    assert source.broken is not None
    with pytest.raises(ConfigError, match="not valid YAML"):
        RuleSource(tmp_path, lambda: None)


def test_files_that_vanish_keep_the_set(tmp_path: Path) -> None:
    file, clock = tmp_path / "r.yaml", Clock()
    file.write_text(GOOD, encoding="utf-8")
    source = RuleSource(tmp_path, lambda: None, clock)
    file.unlink()
    clock.now += 3
    assert source.changed()
    assert source.broken is not None
    assert len(source.rules.rules) == 1


@pytest.mark.parametrize(
    "template",
    ["{{ 'x' * 10**9 }}", "{{ [1] * 10**8 }}", "{{ 9**99999 }}", "{{ 2**6000 * 2**6000 }}", "{{ (9**3000) ** 9 }}"],
)
def test_a_template_whose_result_is_too_large_is_read_at_once_and_shown_as_it_is(template: str) -> None:
    rule = f'{{id: r, kind: match, severity: info, title: "{template}", where: {{levels: [ERROR]}}}}'
    assert load_texts([(Path("x"), f"rules: [{rule}]")]).rules[0].title == template
    title = render_title(template, {})
    assert title.startswith(template)
    assert "makes" in title


def test_a_template_may_compute() -> None:
    template = "{{ 3 * 4 }} {{ 2 ** 10 }} {{ '=' * 3 }} {{ n * 1.5 }} {{ 2 ** -1 }}"
    assert render_title(template, {"n": 2}) == "12 1024 === 3.0 0.5"
