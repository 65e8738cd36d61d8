"""A deferred task is given time to be gone before it may be called back."""

from __future__ import annotations

import asyncio
import time

SETTLE_S = 3.0
"""From a task's deferral until its trigger looks for the first time.

The process of the task ends up to a second later (`AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL`: its supervisor may see
the end no sooner), and the scheduler hears of it with its next round. Where the trigger has fired by then, the task is
queued again already, and the scheduler (Airflow 3.3.2, `process_executor_events`) takes the end of the process that
deferred for one of the process that is to come, and fails the task.
"""


async def settle(deadline: float) -> None:
    """To be awaited once, before the first look; ends at the deadline (seconds since the epoch) at the latest."""
    await asyncio.sleep(max(0.0, min(SETTLE_S, deadline - time.time())))
