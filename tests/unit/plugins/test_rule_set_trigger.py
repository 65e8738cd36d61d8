"""The trigger that wakes a backtest: once for each rule set that comes into force and was not tried last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from vigil_airflow.triggers.rule_sets import RuleSetChangedTrigger

from streaming.errors import Unavailable

END = "end"


class Trigger(RuleSetChangedTrigger):
    """Sees these versions one after another; an exception is raised; at `END` it is over."""

    LOOK_EVERY_S = 0.0

    def __init__(self, seen: list[str | Exception], tried: str = "") -> None:
        super().__init__()
        self.seen: Iterator[str | Exception] = iter(seen)
        self.tried = tried

    def _in_force(self) -> str:
        found = next(self.seen, END)
        if isinstance(found, Exception):
            raise found
        return found

    def _tried_last(self) -> str:
        return self.tried


def versions(trigger: Trigger) -> list[str]:
    async def all_of_them() -> list[str]:
        found: list[str] = []
        async for event in trigger.run():
            payload: Any = event.payload
            if payload["version"] == END:
                return found
            found.append(payload["version"])
        raise AssertionError("it ended by itself")

    return asyncio.run(asyncio.wait_for(all_of_them(), 10))


def test_each_change_is_told_once() -> None:
    assert versions(Trigger(["a", "a", "b", "b", "a"])) == ["a", "b", "a"]


def test_what_was_tried_last_is_not_told_and_what_changed_meanwhile_is() -> None:
    assert versions(Trigger(["a", "a"], tried="a")) == []
    assert versions(Trigger(["b"], tried="a")) == ["b"]


def test_it_goes_on_while_kafka_is_away_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    trigger = Trigger([Unavailable("away"), Unavailable("away"), "a", Unavailable("away"), "a", "b"])
    assert versions(trigger) == ["a", "b"]


def test_where_no_set_was_ever_in_force_nothing_is_told() -> None:
    assert versions(Trigger(["", "", "a"])) == ["a"]


def test_it_is_made_again_from_its_arguments() -> None:
    path, arguments = RuleSetChangedTrigger("local").serialize()
    assert path == "vigil_airflow.triggers.rule_sets.RuleSetChangedTrigger"
    assert RuleSetChangedTrigger(**arguments).target == "local"
