"""Retention classes in rule files: what is wrong is named with its place, and no alert depends on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.rules.loading import load_texts
from streaming.errors import ConfigError

GOOD = """\
retention:
  - name: audit
    days: 365
    services: [audit-*, login]
  - name: short
    days: 3
    levels: [TRACE, DEBUG]
"""


def load(*texts: str) -> object:
    return load_texts([(Path(f"{number}.yaml"), text) for number, text in enumerate(texts)])


def test_classes_are_read_in_their_order() -> None:
    rules = load_texts([(Path("a.yaml"), GOOD)])
    assert [(one.name, one.days) for one in rules.retention] == [("audit", 365), ("short", 3)]


def test_they_do_not_change_the_version_of_the_rules() -> None:
    assert load_texts([(Path("a.yaml"), GOOD)]).version == load_texts([(Path("a.yaml"), "rules: []")]).version


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("days: 365", "days: 0", "0.yaml:3: retention[0].days: Input should be greater than or equal to 1"),
        ("services: [audit", "service: [audit", "0.yaml:4: retention[0].service: no such key. Did you mean services?"),
        ("days: 3\n", "days: 3\n    keep: x\n", "0.yaml:7: retention[1].keep: no such key"),
        ("name: short", "name: audit", "0.yaml:5: name: 'audit' is a retention class already"),
        ("name: short", "name: default", "It is built in; take another name"),
        ("name: short", "name: Short_1", "0.yaml:5: retention[1].name: String should match pattern"),
        ("levels: [TRACE, DEBUG]", "levels: [DEBG]", "0.yaml:7: retention[1].levels[0]"),
        ("    levels: [TRACE, DEBUG]\n", "", "0.yaml:5: retention[1]: give levels, services or both"),
        ("audit-*", "a*b", "0.yaml:4: retention[0].services[0]"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(good: str, bad: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(good, bad))
    assert said in str(caught.value)
