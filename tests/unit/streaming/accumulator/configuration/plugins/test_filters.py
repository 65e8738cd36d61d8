"""Filters: what Fluentd takes, and Vigil's own redaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.configuration.plan import Plan
from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.routes import Router
from streaming.errors import ConfigError

SOURCE = "<source>\n@type forward\n</source>\n"
KAFKA = "<match **>\n  @type kafka2\n  brokers k:1\n  default_topic logs\n</match>\n"
REDACT = "<filter {}>\n@type vigil_redact\n{}</filter>\n"


def plan_of(tmp_path: Path, filters: str, behind: str = KAFKA) -> Plan:
    file = tmp_path / "test.conf"
    file.write_text(SOURCE + filters + behind)
    return load_plan(file, {})


def test_redaction_is_no_step_of_a_pipeline(tmp_path: Path) -> None:
    rules = "<rule>\ntype card\n</rule>\n<rule>\ntype pattern\nname pin\npattern /[0-9]+/\n"
    rules += "fields pin,$.user.pin\nreplacement X\n</rule>\n"
    plan = plan_of(tmp_path, REDACT.format("app.**", rules))
    (redaction,) = plan.redactions
    assert redaction.tags.matches("app.x")
    card, pin = redaction.rules
    assert (card.kind, card.name, card.fields, card.replacement, card.pattern) == ("card", "card", (), "[card]", None)
    assert (pin.fields, pin.replacement) == ((("pin",), ("user", "pin")), "X")
    assert pin.pattern
    assert pin.pattern.search("a1")
    assert len(plan.top) == 1


CARD = "<rule>\ntype card\n</rule>\n"


@pytest.mark.parametrize(
    ("filters", "behind", "reason"),
    [
        (REDACT.format("**", ""), KAFKA, "no <rule>"),
        (REDACT.format("**", "<rule>\ntype crad\n</rule>\n"), KAFKA, "did you mean card"),
        (REDACT.format("**", "<rule>\ntype pattern\nname x\n</rule>\n"), KAFKA, "pattern: is required"),
        (REDACT.format("**", "<rule>\ntype pattern\npattern a\n</rule>\n"), KAFKA, "name: is required"),
        (REDACT.format("**", "<rule>\ntype pattern\nname x\npattern a*\n</rule>\n"), KAFKA, "takes the empty text"),
        (REDACT.format("**", "<rule>\ntype card\npattern a\n</rule>\n"), KAFKA, "pattern: unknown parameter"),
        (REDACT.format("**", "<rule>\ntype card\nname a b\n</rule>\n"), KAFKA, "no name of a rule"),
        (REDACT.format("**", CARD + CARD), KAFKA, r"'card' is given twice, first in test\.conf:6"),
        (KAFKA, REDACT.format("**", CARD), "behind a <match>"),
        ("<label @A>\n" + REDACT.format("**", CARD) + KAFKA + "</label>\n", KAFKA, "within a label"),
    ],
)
def test_redaction_that_does_not_fit_is_refused(tmp_path: Path, filters: str, behind: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan_of(tmp_path, filters, behind)


GREP = "<filter **>\n@type grep\n{}</filter>\n"
TRANSFORM = "<filter **>\n@type record_transformer\n{}</filter>\n"
PARSER = "<filter **>\n@type parser\n{}</filter>\n"


def condition(kind: str, key: str, pattern: str) -> str:
    return f"<{kind}>\nkey {key}\npattern /{pattern}/\n</{kind}>\n"


@pytest.mark.parametrize(
    ("sections", "passes"),
    [
        (condition("regexp", "a", "1") + condition("regexp", "b", "1"), {"11"}),
        (condition("exclude", "a", "1") + condition("exclude", "b", "1"), {"00"}),
        ("<and>\n" + condition("regexp", "a", "1") + condition("regexp", "b", "1") + "</and>\n", {"11"}),
        ("<or>\n" + condition("regexp", "a", "1") + condition("regexp", "b", "1") + "</or>\n", {"01", "10", "11"}),
        ("<and>\n" + condition("exclude", "a", "1") + condition("exclude", "b", "1") + "</and>\n", {"00", "01", "10"}),
        ("<or>\n" + condition("exclude", "a", "1") + condition("exclude", "b", "1") + "</or>\n", {"00"}),
        (condition("regexp", "a", "1") + "<or>\n" + condition("exclude", "b", "1") + "</or>\n", {"10"}),
    ],
)
def test_groups_of_grep_conditions(tmp_path: Path, sections: str, passes: set[str]) -> None:
    router = Router(plan_of(tmp_path, GREP.format(sections)))
    routes = router.routes(None, "t")
    for _ in range(2):  # decided, then remembered
        assert {a + b for a in "01" for b in "01" if routes.outputs({"a": a, "b": b})} == passes


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (GREP.format("<and>\n</and>\n"), "neither <regexp> nor <exclude>"),
        (GREP.format("<or>\n" + condition("regexp", "a", "1") + condition("exclude", "a", "1") + "</or>\n"), "within"),
        (GREP.format(condition("regexp", "a", "1") * 2), "the key 'a' twice in one group"),
        (GREP.format("regexp1 a b\n" + condition("regexp", "a", "1")), "regexp1: unknown parameter"),
        (TRANSFORM.format("enable_ruby true\n"), "'true' is not supported"),
        (TRANSFORM.format("keep_keys a\n"), "needs renew_record true"),
        (TRANSFORM.format("<record>\na ${tga}\n</record>\n"), "is no placeholder without Ruby"),
        (TRANSFORM.format('<record>\na ${record["x"]["y"]}\n</record>\n'), "a nested key needs Ruby"),
        (TRANSFORM.format('<record>\na ${record.dig("x")}\n</record>\n'), "a nested key needs Ruby"),
        (TRANSFORM.format("<record>\na ${time.to_i}\n</record>\n"), "is no placeholder"),
        (TRANSFORM.format("<record>\na __TAG__\n</record>\n"), "an old placeholder"),
        (TRANSFORM.format('<record>\na {"b": ["${x}"]}\n</record>\n'), "is no placeholder"),
        (TRANSFORM.format("<record>\n${x} 1\n</record>\n"), "is no placeholder"),
        (TRANSFORM.format("remove_keys $.a[0]\n"), "is no key"),
        (TRANSFORM.format("<recrod>\n</recrod>\n"), "Did you mean record"),
        (PARSER.format("key_name a\n"), "<parse> is required"),
        (PARSER.format("<parse>\n@type json\n</parse>\n"), "key_name: is required"),
        (PARSER.format("key_name a\nreserve_dat\n<parse>\n@type json\n</parse>\n"), "Did you mean reserve_data"),
        ("<filter **>\n@type stdout\n</filter>\n", "'stdout' is not supported"),
    ],
)
def test_filters_that_do_not_fit_are_refused(tmp_path: Path, filters: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan_of(tmp_path, filters)
