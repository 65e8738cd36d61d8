"""The reference of rules for users (`docs/rules.md`) says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from streaming.alerting.fields import FIELD_NAMES
from streaming.alerting.rules.base import RuleBase
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.log_rule import LogRule
from streaming.alerting.rules.ruleset import RULE_KINDS, RuleSet
from streaming.settings import CHECKOUT

TEXT = (CHECKOUT / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "rules:" in block]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_texts([(Path(f"example-{number}.yaml"), text) for number, text in enumerate(EXAMPLES)])


def test_every_kind_has_an_example_that_is_good(rules: RuleSet) -> None:
    assert {type(rule) for rule in rules.rules} == set(RULE_KINDS)


@pytest.mark.parametrize("kind", RULE_KINDS)
def test_every_field_of_a_kind_is_explained(kind: type[RuleBase]) -> None:
    (name,) = kind.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
    section = TEXT.split(f"# {name.capitalize()}\n", 1)[1].split("\n## ")[0].split("\n### ")[0]
    own = set(kind.model_fields) - set(LogRule.model_fields) - {"kind"}
    if name == "new-template":
        assert "those of `new-value`" in section
        return
    explained = {
        found for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for found in re.findall(r"`(\w+)", row)
    }
    assert own <= explained | {"where"}


def test_every_field_of_all_rules_and_of_logs_is_explained() -> None:
    for model in (RuleBase, LogRule):
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}" in TEXT
    assert all(f"`{name}`" in TEXT for name in FIELD_NAMES)


def test_what_is_said_to_be_given_by_default_is(rules: RuleSet) -> None:
    defaults = {
        "factor": "(3)",
        "changes": "(5)",
        "max_values": "(10,000;",
        "max_groups": "(1,000;",
        "learn_for": "(`1h`)",
        "forget_after": "(`7d`)",
        "min_dead_letters": "(10)",
    }
    for name, said in defaults.items():
        assert any(said in row for row in re.findall(rf"^\| `{name}` .*$", TEXT, re.MULTILINE)), name


def test_examples_are_yaml() -> None:
    assert all(isinstance(yaml.safe_load(text), dict) for text in EXAMPLES)
