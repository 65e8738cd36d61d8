"""Filters: what Fluentd takes, and Vigil's own redaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.configuration.plan import Plan
from streaming.accumulator.configuration.planner import load_plan
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
