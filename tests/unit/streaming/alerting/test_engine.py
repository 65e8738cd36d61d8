"""Which rules an event fires, and what candidate comes of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.candidates import from_log, from_node
from streaming.alerting.engine import Engine
from streaming.alerting.fields import GROUP_VALUE_LIMIT, group_of
from streaming.alerting.matcher.tally import Tally
from streaming.alerting.messages import incident_key
from streaming.alerting.rules.base import TITLE_LIMIT, render_title
from streaming.alerting.rules.loading import load_rules, load_texts
from streaming.alerting.rules.match import MatchRule
from streaming.events.model import Level, LogEvent, NodeState
from streaming.heartbeat.messages import NodeStatus
from streaming.settings import CHECKOUT


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
        ("prefix: a, not_equals: ab", "abc", "ab"),
    ]:
        for field, keyword in (("service.name", "service"), ("log.logger", "logger"), ("error.code", "error_code")):
            e = engine(f"{{id: r, {BASE}, where: {{fields: {{{field}: {{{condition}}}}}}}}}")
            assert fired(e, msgspec.structs.replace(log(), **{keyword: yes})) == {"r"}, (field, condition)
            assert fired(e, msgspec.structs.replace(log(), **{keyword: no})) == set(), (field, condition)


def test_labels_are_fields_too() -> None:
    e = engine(f"{{id: r, {BASE}, where: {{fields: {{labels.zone: {{equals: '7'}}}}}}}}")
    assert fired(e, log(labels={"zone": 7})) == {"r"}
    assert fired(e, log()) == set()


def test_a_disabled_rule_never_fires() -> None:
    assert fired(engine(f"{{id: r, {BASE}, enabled: false, where: {{levels: [ERROR]}}}}"), log()) == set()


levels = st.sampled_from(list(Level))
services = st.sampled_from(["a", "ab", "b", ""])


@given(
    st.lists(st.tuples(st.lists(levels, max_size=2), st.sampled_from(["equals", "prefix", "not_equals"]), services)),
    levels,
    services,
)
def test_the_index_fires_what_asking_every_rule_would(
    rules: list[tuple[list[Level], str, str]], level: Level, service: str
) -> None:
    texts = [
        f"{{id: r{n}, {BASE}, where: {{levels: [{', '.join(ls)}], fields: {{service.name: {{{how}: '{what}'}}}}}}}}"
        for n, (ls, how, what) in enumerate(rules)
    ]
    e = engine(*texts)
    event = log(level, service)
    plain = {
        rule.id
        for rule in e.rules.rules
        if isinstance(rule, MatchRule)
        and (not rule.where.levels or level in rule.where.levels)
        and rule.where.fields["service.name"].fits(service)
    }
    assert fired(e, event) == plain


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
        node_id="n1", service="order", state=NodeState.DOWN, at_ms=5, last_beat_ms=1, silent_for_ms=4, reason="silent"
    )
    (rule,) = default.node_rules(status)
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


def test_a_flood_of_one_group_is_one_candidate(default: Engine) -> None:
    tally = Tally()
    for n in range(500):
        event = LogEvent(timestamp_ns=(1000 - n) * 1_000_000, level=Level.ERROR, message=f"m{n}", service="order")
        (rule,) = default.match(event)
        tally.add(rule, event, source=f"s{n}", received_ms=n)
    (candidate,) = tally.candidates()
    assert (candidate.count, candidate.first_ms, candidate.last_ms) == (500, 501, 1000)
    assert candidate.sample.message == "m499"
    tally.clear()
    assert not tally
