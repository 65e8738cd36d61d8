"""Faults that can be switched on in a running service, to see what the platform makes of them."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

log = logging.getLogger(__name__)

CRASH_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""

AFTER_ANSWER_S = 0.05
"""A crash or hang waits so long, so that who asked for it still gets the answer."""


class FaultOrder(BaseModel):
    """What `POST /faults` takes; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    error_rate: float | None = Field(None, ge=0, le=1, description="share of requests answered with 500")
    latency_ms: float | None = Field(None, ge=0, le=600_000, description="added to every request")
    clock_skew_s: float | None = Field(None, ge=-4e9, le=4e9, description="added to the service's clock")
    crash: bool = Field(False, description=f"end at once with exit code {CRASH_EXIT_CODE}")
    hang_s: float | None = Field(None, gt=0, le=86_400, description="answer nothing and send no beat for so long")


class FaultState(BaseModel):
    """The faults that are on."""

    error_rate: float = 0.0
    latency_ms: float = 0.0
    clock_skew_s: float = 0.0


class Faults:
    """The faults of one service. `chance` gives numbers from 0 to 1."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self.state = FaultState()
        self._chance = chance

    def clock(self) -> int:
        """This service's time in nanoseconds, wrong by the skew."""
        return time.time_ns() + int(self.state.clock_skew_s * 1e9)

    def fails(self) -> bool:
        """Whether the request at hand is to fail."""
        return self._chance() < self.state.error_rate

    def apply(self, order: FaultOrder, loop: asyncio.AbstractEventLoop, flush: Callable[[float], None]) -> FaultState:
        """Changes the state; a hang or crash comes a moment later, in `loop`. `flush` sends the last logs."""
        kept = order.model_dump(exclude={"crash", "hang_s"}, exclude_none=True)
        self.state = self.state.model_copy(update=kept)
        log.warning("faults changed", extra={"faults": self.state.model_dump() | {"hang_s": order.hang_s}})
        if order.hang_s:
            loop.call_later(AFTER_ANSWER_S, time.sleep, order.hang_s)
        if order.crash:
            loop.call_later(AFTER_ANSWER_S, _crash, flush)
        return self.state


def _crash(flush: Callable[[float], None]) -> None:
    """Ends the process as a fault in native code would: no clean-up, no last beat."""
    log.critical("the service crashes", extra={"error_code": "CRASH"})
    flush(1.0)
    os._exit(CRASH_EXIT_CODE)
