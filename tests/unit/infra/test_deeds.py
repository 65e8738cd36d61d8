"""What was done to the platform, from what is recorded."""

from __future__ import annotations

from infra.deeds import deeds
from infra.intent import Intent, Order
from infra.service_manager import RunState, ServiceStatus


def started(name: str, at_ms: int | None) -> ServiceStatus:
    return ServiceStatus(name, RunState.RUNNING, 1, "", at_ms)


def test_what_was_started_together_is_one_deed() -> None:
    order = Order(intent=Intent.UP, since_ms=1_000, by="deploy_platform of x")
    statuses = [started("payment", 900_000), started("kafka", 2_000), started("indexer", 50_000), started("off", None)]
    found = [(deed.at_ms, deed.what, deed.by) for deed in deeds(order, statuses)]
    assert found == [
        (1_000, "deployment ordered", "deploy_platform of x"),
        (50_000, "started: kafka, indexer", ""),
        (900_000, "started: payment", ""),
    ]


def test_nothing_is_known_of_a_platform_that_was_never_deployed() -> None:
    assert deeds(None, []) == []
    assert [deed.what for deed in deeds(Order(intent=Intent.DOWN, since_ms=1, by="b"), [])] == ["teardown ordered"]
