"""A trigger does not fire before the process that deferred to it has had time to end."""

from __future__ import annotations

import asyncio
import time

import pytest
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers import settling
from vigil_airflow.triggers.polling import PollingTrigger


class Met(PollingTrigger):
    """What it waits for is there; it tells when it looked."""

    looked_at: float | None = None

    def arguments(self) -> dict[str, object]:
        return {}

    def look(self) -> Seen:
        self.looked_at = time.time()
        return Seen(Outcome.MET, "it is there")


def fired(trigger: Met) -> float:
    """When it looked for the first time."""

    async def run() -> None:
        async for event in trigger.run():
            assert event.payload["outcome"] == "met"

    asyncio.run(run())
    assert trigger.looked_at is not None
    return trigger.looked_at


def test_the_first_look_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_S", 0.2)
    began = time.time()
    assert fired(Met(began + 60)) - began >= 0.2


def test_what_is_due_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_S", 3600.0)
    fired(Met(time.time() - 1))
