"""Which rules an event fires, and what candidate comes of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.candidates import from_log, from_node
from streaming.alerting.fields import GROUP_VALUE_LIMIT, group_of
from streaming.alerting.matching import cells
from streaming.alerting.matching.cells import FEW_VALUES
from streaming.alerting.matching.engine import Engine
from streaming.alerting.matching.probes import Probe, all_probes
from streaming.alerting.matching.texts import Tree, Union, pattern_of
from streaming.alerting.messages import incident_key
from streaming.alerting.rules.base import TITLE_LIMIT, render_title
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.loading import load_rules, load_texts
from streaming.alerting.rules.node_health import NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State
from streaming.settings import CHECKOUT
from tests.support.random_rules import conditions, events, rule_sets, texts


def log(level: Level = Level.ERROR, service: str = "order", **more: object) -> LogEvent:
    event = LogEvent(timestamp_ns=1_000_000_000, level=level, message="it broke", service=service)
    return msgspec.structs.replace(event, **more)


def engine(*rules: str) -> Engine:
    return Engine(load_texts([(Path("x.yaml"), "rules: [" + ", ".join(rules) + "]")]))


def fired(of: Engine, event: LogEvent) -> set[str]:
    return {rule.id for rule in of.match(event)}


@pytest.fixture(scope="module")
def default() -> Engine:
    return Engine(load_rules(CHECKOUT / "rules"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (log(), {"error-log"}),
        (log(Level.FATAL), {"fatal-log"}),
        (log(Level.WARN), set()),
        (log(Level.INFO), set()),
        (log(service=""), {"error-log"}),
        (log(service="vigil-indexer"), {"vigil-worker-error"}),
        (log(Level.FATAL, "vigil-accumulator1"), {"vigil-worker-error"}),
        # The alert path's own errors must not feed it.
        (log(service="vigil-notifier"), set()),
        (log(service="vigil-manager"), set()),
        (log(service="vigil-matcher"), set()),
        (log(service="vigil-alerting-system"), set()),
        # A canary log of level INFO must only be found in Elasticsearch.
        (log(Level.INFO, "vigil-canary"), set()),
        (log(Level.ERROR, "vigil-canary"), {"canary"}),
    ],
)
def test_the_default_rules(default: Engine, event: LogEvent, expected: set[str]) -> None:
    assert fired(default, event) == expected


BASE = "severity: info, title: t, kind: match"


def test_every_kind_of_condition() -> None:
    for condition, yes, no in [
        ("equals: [a, b]", "b", "c"),
        ("prefix: ab", "abc", "ba"),
        ("contains: [x, y]", "ayb", "abc"),
        ("not_equals: a", "b", "a"),
        ("not_prefix: [a, b]", "ca", "bc"),
        ("not_contains: x", "abc", "axb"),
        ("matches: ['^a+$', 'ü.z']", "x üßz", "ba"),
        ("matches: '(?i)time-?out'", "a TIMEOUT", "in time"),
        ("not_matches: 'a.c'", "ac", "abc"),
        ("prefix: a, not_equals: ab", "abc", "ab"),
    ]:
        for field, keyword in (("service.name", "service"), ("log.logger", "logger"), ("error.code", "error_code")):
            e = engine(f"{{id: r, {BASE}, where: {{fields: {{{field}: {{{condition}}}}}}}}}")
            assert fired(e, msgspec.structs.replace(log(), **{keyword: yes})) == {"r"}, (field, condition)
            assert fired(e, msgspec.structs.replace(log(), **{keyword: no})) == set(), (field, condition)


def test_no_log_can_hold_a_regular_expression_up() -> None:
    """Python's own `re` would take longer than the universe is old over this pair."""
    e = engine(f"{{id: r, {BASE}, where: {{fields: {{message: {{matches: '(a+)+$'}}}}}}}}")
    assert fired(e, log(message="a" * 100_000 + "!")) == set()


def test_labels_are_fields_too() -> None:
    e = engine(f"{{id: r, {BASE}, where: {{fields: {{labels.zone: {{equals: '7'}}}}}}}}")
    assert fired(e, log(labels={"zone": 7})) == {"r"}
    assert fired(e, log()) == set()


def test_a_disabled_rule_never_fires() -> None:
    assert fired(engine(f"{{id: r, {BASE}, enabled: false, where: {{levels: [ERROR]}}}}"), log()) == set()


@settings(max_examples=150)
@given(rule_sets(), events(), st.sets(st.sampled_from(sorted(FEW_VALUES))))
def test_the_index_says_what_asking_every_rule_would(
    rules: RuleSet, logs: list[LogEvent], without: frozenset[str]
) -> None:
    """Whichever fields are part of the keys; a log comes twice, so that what is remembered is asked too."""
    e = Engine(rules)
    e._without = frozenset(without)
    for event in [*logs, *logs]:
        plain = [probe for probe in all_probes(rules.rules) if probe.fits(event)]
        found = list(e.fitting(event))
        assert sorted(map(name_of, found)) == sorted(map(name_of, plain))


def name_of(probe: Probe) -> str:
    return f"{probe.rule.id} {probe.role.name}"


@given(conditions(), texts())
def test_a_text_that_fits_is_always_among_those_that_may(asked: list[TextCondition], found: list[str]) -> None:
    usable = [(pattern, condition) for condition in asked if (pattern := pattern_of(condition))]
    if not usable:
        return
    encoded = [text.encode("utf-8", "replace") for text in found]
    union = Union([pattern for pattern, _ in usable])
    tree = Tree([(pattern, number) for number, (pattern, _) in enumerate(usable)])
    places = union.places(found)
    for place, text in enumerate(found):
        fitting = {number for number, (_, condition) in enumerate(usable) if condition.fits(text)}
        assert fitting <= set(tree.possible(encoded[place]))
        assert not fitting or place in places


def test_rules_too_many_for_one_expression_are_searched_in_parts() -> None:
    patterns = [rf"(?m:\pL{{1,200}}{number}\pL{{1,200}})" for number in range(3)]
    union = Union(patterns)
    assert union.places(["x", "a2a", "", "b1b", "1"]) == [1, 3]


def test_a_rule_is_in_force_by_the_time_of_receipt() -> None:
    e = engine(f"{{id: r, {BASE}, where: {{levels: [ERROR]}}, active: [{{from: '08:00', to: '17:00'}}]}}")
    day_ms = 1_795_478_400_000  # 2026-11-24T00:00Z
    at = {hour: bool(e.match(log(), day_ms + hour * 3_600_000)) for hour in (0, 8, 16, 17, 23, 32)}
    assert at == {0: False, 8: True, 16: True, 17: False, 23: False, 32: True}


def test_a_field_that_has_a_value_for_each_log_leaves_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "CELLS_KEPT", 50)
    e = engine(f"{{id: r, {BASE}, where: {{fields: {{log.logger: {{prefix: a}}, error.code: {{equals: E}}}}}}}}")
    assert "log.logger" in e.at(0).key_fields
    for number in range(200):
        found = e.at(0)
        if found.is_full:
            e.clear(found, number)
        assert fired(e, log(logger=f"a{number}", error_code="E")) == {"r"}
        assert fired(e, log(logger=f"b{number}", error_code="E")) == set()
    assert "log.logger" not in e.at(0).key_fields
    assert "error.code" in e.at(0).key_fields


def test_cells_are_bounded_by_the_length_of_their_values_too() -> None:
    """An error code may be of a record's whole length: 16,384 of them are gigabytes."""
    e = engine(f"{{id: r, {BASE}, where: {{fields: {{error.code: {{equals: E}}}}}}}}")
    longest = 0
    for number in range(600):
        found = e.at(0)
        if found.is_full:
            e.clear(found, 10_000 * number)
        e.match(log(error_code=f"{number}" + "x" * 200_000))
        longest = max(longest, len(found._cells))
    assert longest < 200
    assert "error.code" in e.at(0).key_fields


def test_a_candidate_carries_the_log_and_its_own_time(default: Engine) -> None:
    event = log(error_code="E1", error_message="no money", node_id="n1", log_id="l1", trace_id="t1")
    (rule,) = default.match(event)
    candidate = from_log(rule, event, source="a.b:1:0", received_ms=77)
    assert candidate.group == {"service.name": "order", "error.code": "E1"}
    assert candidate.title == "order E1: no money"
    assert (candidate.first_ms, candidate.received_ms, candidate.sample.received_ms) == (1000, 77, 77)
    assert candidate.sample.source == "a.b:1:0"


def test_a_node_that_is_down_makes_a_candidate(default: Engine) -> None:
    status = NodeStatus(
        node_id="n1", service="order", state=State.DOWN, at_ms=5, last_beat_ms=1, silent_for_ms=4, reason="silent"
    )
    rule = next(rule for rule in default.rules.rules if isinstance(rule, NodeHealthRule) and rule.id == "node-down")
    candidate = from_node(rule, status)
    assert candidate.group == {"service.node.name": "n1"}
    assert candidate.title == "n1 (order) is DOWN: silent"


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_two_groups_never_share_a_key(a: str, b: str, c: str, d: str) -> None:
    one, other = {"x": a, "y": b}, {"x": c, "y": d}
    assert (incident_key("r", one) == incident_key("r", other)) == (one == other)


def test_long_group_values_stay_apart_and_bounded() -> None:
    groups = [group_of(log(error_code="x" * 5000 + end), ("error.code",)) for end in "ab"]
    assert groups[0] != groups[1]
    assert all(len(group["error.code"]) == GROUP_VALUE_LIMIT for group in groups)


@pytest.mark.parametrize(
    "template",
    [
        "{{ message }}",
        "{{ nothing.at.all }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ message.format(1) }}",
        "{{ message + 1 }}",
    ],
)
def test_a_title_is_always_one_short_line(template: str) -> None:
    title = render_title(template, {"message": "a\nb\x1b[31m" * 100})
    assert len(title) <= TITLE_LIMIT
    assert title.isprintable()
    assert "object" not in title


@pytest.mark.parametrize(
    "template",
    [
        "{{ '{0} {1}'.format(message) }}",
        "{{ labels.pop('zz') }}",
        "{{ message.encode('ascii') }}",
        "{{ 'a' * 10**13 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_title_that_cannot_be_made_of_a_log_is_a_plain_one(template: str) -> None:
    assert render_title(template, {"message": "é", "labels": {}}).startswith(template[:20])
