"""Who mutes whom, found by what both agree in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.messages import Incident, Severity, incident_key
from streaming.alerting.muting.index import Index
from streaming.alerting.muting.links import DependencyLink, FlappingLink, InhibitionLink
from streaming.alerting.rules.flapping import KEY_LABEL
from streaming.alerting.rules.muting import Dependency, Inhibition
from tests.support.incidents import plain_incident, plain_sample


def incident(
    incident_id: str, rule: str = "r", severity: Severity = Severity.ERROR, kind: str = "match", **group: str
) -> Incident:
    dotted = {name.replace("_", "."): value for name, value in group.items()}
    return plain_incident(
        incident_id=incident_id,
        incident_key=incident_key(rule, dotted | {"id": incident_id}),
        rule_id=rule,
        rule_kind=kind,
        group=dotted,
        severity=severity,
        sample=plain_sample(service="", node_id=""),
    )


def inhibition(source: str, target: str, *equal: str) -> Inhibition:
    return Inhibition.model_validate(
        {
            "name": "i",
            "source": {"where": {"rule": {"prefix": source}}},
            "target": {"where": {"rule": {"prefix": target}}},
            "equal": equal,
        }
    )


def index_of(*inhibitions: Inhibition) -> Index:
    return Index([InhibitionLink(inhibitions)])


def needs(**services: str) -> DependencyLink:
    return DependencyLink([Dependency(service=name, needs=tuple(other.split())) for name, other in services.items()])


def test_a_source_mutes_what_agrees_with_it() -> None:
    index = index_of(inhibition("down", "log", "service.node.name"))
    logs = [incident(f"L{n}", "log", service_node_name=f"n{n}") for n in (1, 2)]
    for one in logs:
        assert index.put(one) == set()
    down = incident("D", "down", service_node_name="n1")
    assert index.put(down) == {logs[0].incident_key}
    assert [index.mute_of(one) for one in logs] == ["inhibited by D", ""]
    assert index.put(down) == set(), "nothing has changed"
    assert index.drop(down.incident_key) == {logs[0].incident_key}
    assert [index.mute_of(one) for one in logs] == ["", ""]
    assert index.drop(down.incident_key) == set()


def test_what_neither_has_counts_as_equal_and_what_one_lacks_does_not() -> None:
    index = index_of(inhibition("down", "log", "error.code"))
    index.put(incident("D", "down"))
    assert index.mute_of(incident("L", "log")) == "inhibited by D"
    assert index.mute_of(incident("L", "log", error_code="E1")) == ""


def test_what_is_source_and_target_is_muted_only_by_what_is_no_target() -> None:
    index = index_of(inhibition("a", "ab", "service.name"))
    both, other = incident("B1", "ab"), incident("B2", "ab")
    index.put(both)
    index.put(other)
    assert [index.mute_of(one) for one in (both, other)] == ["", ""], "they would mute each other"
    pure = incident("A", "a")
    assert index.put(pure) == {both.incident_key, other.incident_key}
    assert [index.mute_of(one) for one in (both, other)] == ["inhibited by A", "inhibited by A"]


def test_a_service_is_muted_by_all_it_needs_the_root_named() -> None:
    index = Index([needs(web="api cache", api="db")])
    web, api, db = (incident(name, service_name=name) for name in ("web", "api", "db"))
    index.put(web)
    index.put(api)
    assert (index.mute_of(web), index.mute_of(api)) == ("api is broken: api", "")
    assert index.put(db) == {web.incident_key, api.incident_key}
    assert (index.mute_of(web), index.mute_of(api)) == ("db is broken: db", "db is broken: db")
    assert index.mute_of(db) == ""


@pytest.mark.parametrize("severity", [Severity.INFO, Severity.WARNING])
def test_a_lesser_incident_breaks_no_service(severity: Severity) -> None:
    index = Index([needs(web="api")])
    index.put(incident("A", severity=severity, service_name="api"))
    assert index.mute_of(incident("W", service_name="web")) == ""


def test_services_that_need_each_other_do_not_mute_one_another() -> None:
    index = Index([needs(a="b", b="c", c="a db", db="db")])
    for name in ("a", "b", "c"):
        index.put(incident(name, service_name=name))
    assert [index.mute_of(incident("x", service_name=name)) for name in ("a", "b", "c", "db")] == ["", "", "", ""]
    index.put(incident("db", service_name="db"))
    answers = [index.mute_of(incident("x", service_name=name)) for name in ("a", "b", "c", "db")]
    assert answers == ["db is broken: db"] * 3 + [""]


def test_a_flapping_incident_mutes_the_one_that_flaps() -> None:
    index = Index([FlappingLink()])
    one = incident("L", "log", service_name="s")
    index.put(one)
    flaps = incident("F", "flaps", kind="flapping")
    flaps.labels = {KEY_LABEL: one.incident_key}
    assert index.put(flaps) == {one.incident_key}
    assert index.mute_of(one) == "flapping: F"
    assert index.mute_of(flaps) == ""
    disguised = incident("X", "log")
    disguised.labels = {KEY_LABEL: disguised.incident_key}
    index.put(disguised)
    assert index.mute_of(disguised) == "", "only rules of that kind do so"


def test_a_flood_is_not_quadratic() -> None:
    index = index_of(inhibition("down", "log"))
    targets = 2_000
    for number in range(targets):
        index.put(incident(f"L{number}", "log"))
    chance = random.Random(1)
    sources = [incident("".join(chance.choices("ABCDEFGHIJ234567", k=10)), "down") for _ in range(5_000)]
    looked_at = sum(len(index.put(one)) for one in sources)
    looked_at += sum(len(index.drop(one.incident_key)) for one in sources)
    assert looked_at / targets < 40, "each of them changed which one is named"
    assert index.mute_of(incident("L", "log")) == ""


services = st.sampled_from(["", "a", "b"])
rules = st.sampled_from(["down", "downlog", "log"])
some = st.lists(st.tuples(st.integers(0, 9), rules, services, st.booleans()), max_size=40)


@settings(max_examples=100, deadline=None)
@given(some)
def test_it_says_what_a_look_at_every_other_says(steps: list[tuple[int, str, str, bool]]) -> None:
    index = index_of(inhibition("down", "downlog", "service.name"), inhibition("log", "down"))
    there: dict[str, Incident] = {}
    answers: dict[str, str] = {}
    for number, rule, service, goes in steps:
        one = incident(str(number), rule, service_name=service)
        one.incident_key = str(number)
        if goes:
            told = index.drop(one.incident_key)
            there.pop(one.incident_key, None)
        else:
            told = index.put(one)
            there[one.incident_key] = one
        for key, other in there.items():
            now = index.mute_of(other)
            assert now == _brute_force(other, list(there.values()))
            assert key in told or key == one.incident_key or answers.get(key) == now, "nobody said that it changed"
            answers[key] = now


def _brute_force(target: Incident, incidents: list[Incident]) -> str:
    def is_source(one: Incident, number: int) -> bool:
        return one.rule_id.startswith("down" if number == 0 else "log")

    def is_target(one: Incident, number: int) -> bool:
        return one.rule_id.startswith("downlog" if number == 0 else "down")

    for number in (0, 1):
        found = [
            other.incident_id
            for other in incidents
            if is_target(target, number)
            and is_source(other, number)
            and other.incident_id != target.incident_id
            and (number == 1 or other.group == target.group)
            and not (is_source(target, number) and is_target(other, number))
        ]
        if found:
            return f"inhibited by {min(found)}"
    return ""
