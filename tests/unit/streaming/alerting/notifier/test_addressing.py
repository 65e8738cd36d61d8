"""Whom the notifier tells, given who can be told and who was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.failing_receiver import failing
from streaming.alerting.incidents.lifecycle import Policy, on_candidate
from streaming.alerting.messages import Action, Notification
from streaming.alerting.notifier.addressing import Directory

EVERYBODY = Directory(frozenset({"a", "b", "c", "main", "console", "canary"}), ("main",))
OPEN, UPDATE, RESOLVE, ESCALATE, REPEAT = (
    Action.OPEN,
    Action.UPDATE,
    Action.RESOLVE,
    Action.ESCALATE,
    Action.REPEAT,
)


def order(
    action: Action, receivers: tuple[str, ...] = (), fallback: tuple[str, ...] = (), *, about: str = ""
) -> Notification:
    (incident,) = on_candidate(None, failing(about or "x", "away", 0), 0, Policy()).changed
    if not about:
        incident = msgspec.structs.replace(incident, rule_id="some-rule")
    return Notification(action=action, incident=incident, created_ms=0, receivers=receivers, fallback=fallback)


@pytest.mark.parametrize(
    ("given", "holding", "told"),
    [
        (order(OPEN, ("a", "b")), [], ("a", "b")),
        (order(OPEN), [], ("main",)),
        (order(OPEN, ("canary",)), [], ("canary",)),
        # The route has changed since it opened.
        (order(UPDATE, ("b",)), ["a"], ("b", "a")),
        (order(RESOLVE, ("b",)), ["a"], ("a",)),
        (order(RESOLVE, ("a", "b")), ["b", "c"], ("b", "c")),
        (order(RESOLVE, ("a",)), [], ("a",)),
        (order(ESCALATE, ("c",)), ["a"], ("c",)),
        (order(REPEAT, ("a",)), ["a", "c"], ("a", "c")),
        # A receiver that is no more.
        (order(OPEN, ("gone",), ("b",)), [], ("b",)),
        (order(OPEN, ("gone",)), [], ("main",)),
        (order(OPEN, ("a", "gone"), ("b",)), [], ("a", "b")),
        (order(UPDATE, ("a", "gone"), ("b",)), [], ("a",)),
        (order(UPDATE, ("gone",), ("b",)), [], ("b",)),
        (order(RESOLVE, ("gone",), ("b",)), ["c"], ("c",)),
        # A note goes where people were told of the incident.
        (order(Action.ANNOTATE, ("a", "b"), ("c",)), ["b"], ("b",)),
        (order(Action.ANNOTATE, ("a",)), [], ()),
    ],
)
def test_who_is_told(given: Notification, holding: list[str], told: tuple[str, ...]) -> None:
    assert EVERYBODY.told(given, holding) == told


def test_who_is_told_instead() -> None:
    given = order(OPEN, ("a",), ("b", "c"))
    assert EVERYBODY.others(given, {"a"}) == ("b", "c")
    assert EVERYBODY.others(given, {"a", "b"}) == ("c",)
    assert EVERYBODY.others(given, {"a", "b", "c"}) == ("main",)
    assert EVERYBODY.others(given, {"a", "b", "c", "main"}) == ("console",)
    assert EVERYBODY.others(given, {"a", "b", "c", "main", "console"}) == ()


NAMES = ("a", "b", "c", "main", "console", "canary", "gone")
SOME = st.lists(st.sampled_from(NAMES), max_size=4, unique=True).map(tuple)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(list(Action)), SOME, SOME, SOME, st.sampled_from(("", *NAMES)), SOME)
def test_somebody_is_told_and_never_the_receiver_that_it_is_about(
    action: Action,
    receivers: tuple[str, ...],
    fallback: tuple[str, ...],
    holding: tuple[str, ...],
    about: str,
    default: tuple[str, ...],
) -> None:
    directory = Directory(EVERYBODY.receivers, default or ("main",))
    held = [name for name in holding if name in directory.receivers]
    given = order(action, receivers, fallback, about=about)
    told = directory.told(given, held)
    assert set(told) <= directory.receivers
    assert len(set(told)) == len(told)
    assert about not in told
    assert told or about == "console" or action is Action.ANNOTATE
    if action in (UPDATE, RESOLVE, REPEAT):
        assert set(held) - {about} <= set(told)
    tried = frozenset(told)
    while others := directory.others(given, tried):
        assert not tried & set(others)
        assert about not in others
        tried |= set(others)
