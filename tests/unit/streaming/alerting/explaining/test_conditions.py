"""Each condition of a rule, put to a log, says what it asked and what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.explaining.conditions import Verdict, judge
from streaming.alerting.rules.loading import load_texts
from streaming.events.model import Level, LogEvent

MONDAY_NOON_MS = 1_767_614_400_000 + 3 * 3_600_000
"""2026-01-05T15:00:00Z"""


def verdict(rule: str, **more: object) -> Verdict:
    rules = load_texts([(Path("x.yaml"), f"rules: [{{id: r, severity: error, title: t, {rule}}}]")])
    event = LogEvent(timestamp_ns=0, level=Level.ERROR, message="it broke", service="order", node_id="n1")
    for name, value in more.items():
        setattr(event, name, value)
    found = judge(rules.rules[0], event, MONDAY_NOON_MS)
    assert found is not None
    return found


def test_a_log_that_fits_says_so_with_its_group() -> None:
    found = verdict("kind: match, where: {levels: [ERROR]}, group_by: [service.name, error.code]")
    assert (found.fits, found.group, found.effect) == (True, {"service.name": "order"}, "fires")
    assert [(c.of, c.asked, c.value, c.holds) for c in found.checks] == [("log.level", "is ERROR", "ERROR", True)]


@pytest.mark.parametrize(
    ("where", "of", "asked", "value"),
    [
        ("levels: [FATAL, WARN]", "log.level", "is FATAL or WARN", "ERROR"),
        ("fields: {service.name: {equals: [a, b]}}", "service.name", "is 'a' or 'b'", "order"),
        ("fields: {service.name: {not_prefix: ord}}", "service.name", "does not begin with 'ord'", "order"),
        ("fields: {message: {matches: 'b[aeiou]oke'}}", "message", "matches 'b[aeiou]oke'", "it broke"),
        ("fields: {error.code: {contains: X}}", "error.code", "holds 'X'", ""),
        ("fields: {labels.zone: {equals: [eu]}}", "labels.zone", "is 'eu'", ""),
    ],
)
def test_the_condition_that_fails_is_named_with_the_value(where: str, of: str, asked: str, value: str) -> None:
    found = verdict(f"kind: match, where: {{{where}}}")
    assert not found.fits
    assert [(c.of, c.asked, c.value) for c in found.failed] == [(of, asked, value)]
    assert found.effect == ""


def test_of_two_questions_about_one_field_each_is_judged_by_itself() -> None:
    found = verdict("kind: match, where: {fields: {service.name: {prefix: ord, not_equals: order}}}")
    assert [(c.asked, c.holds) for c in found.checks] == [("begins with 'ord'", True), ("is not 'order'", False)]


def test_a_rule_that_is_disabled_or_not_in_force_says_that() -> None:
    assert verdict("kind: match, where: {levels: [ERROR]}, enabled: false").failed[0].asked == "is enabled"
    active = "active: [{days: [mon], from: '08:00', to: '10:00', timezone: Europe/Berlin}]"
    (failed,) = verdict(f"kind: match, where: {{levels: [ERROR]}}, {active}").failed
    assert (failed.asked, failed.value) == ("lies in mon 08:00-10:00 Europe/Berlin", "2026-01-05T15:00:00+00:00")


def test_what_resolves_is_told_as_such() -> None:
    rule = "kind: match, where: {levels: [FATAL]}, resolve_when: {fields: {message: {contains: broke}}}"
    assert verdict(rule).effect == "resolves the incident of its group (resolve_when)"


@pytest.mark.parametrize(
    ("rule", "effect"),
    [
        ("kind: threshold, where: {}, window: 5m, count: 100", "counts towards 100 within 5m"),
        ("kind: error-ratio, window: 90s, ratio: 0.05", "counts as an error towards a share of 0.05 within 90s"),
        ("kind: absence, where: {}, group_by: [service.name], window: 1h", "ends a silence, and begins the next 1h"),
        ("kind: new-value, where: {}, field: service.name", "fires if service.name was never 'order' before"),
        ("kind: new-template, where: {}", "fires if no message of this shape was seen before"),
        ("kind: spike, where: {}, window: 1m, baseline: 1h", "counts towards 3 times the usual of the last 1h"),
    ],
)
def test_what_a_log_that_fits_does_follows_from_the_kind(rule: str, effect: str) -> None:
    assert verdict(rule).effect.startswith(effect)


def test_rules_that_are_not_about_logs_have_nothing_to_say() -> None:
    text = "rules: [{id: r, kind: node-health, severity: error, title: t}]"
    (rule,) = load_texts([(Path("x.yaml"), text)]).rules
    assert judge(rule, LogEvent(timestamp_ns=0, level=Level.ERROR, message="m"), 0) is None
