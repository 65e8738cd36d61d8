"""Looks again and again until what is waited for is there, cannot come any more, or the deadline is over."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from streaming.errors import Unavailable, VigilError
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.settling import settle


class PollingTrigger(BaseTrigger):
    """Fires once: `{"outcome": Outcome, "reason": str}`, where WAITING tells that the deadline is over; the reason is
    then what it saw last.

    A server that does not answer counts as waiting. A look that hangs ends with the deadline too.

    Args:
        deadline: seconds since the epoch.
    """

    POLL_S: ClassVar[float] = 2.0
    LOOK_S: ClassVar[float] = 2.0
    """What a look gets at least, also where less is left until the deadline."""

    def __init__(self, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's triggers are not annotated
        self.deadline = deadline

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What the constructor takes, without the deadline."""

    @abstractmethod
    def look(self) -> Seen:
        """One look. Blocks for some seconds at most.

        Raises:
            Unavailable: a server does not answer.
            VigilError: it cannot be asked this way, and never will.
        """

    def close(self) -> None:
        """Lets go of what looks need."""

    def look_once(self) -> Seen:
        """`look`, with its errors as outcomes."""
        try:
            return self.look()
        except Unavailable as error:
            return Seen(Outcome.WAITING, str(error))
        except VigilError as error:
            return Seen(Outcome.HOPELESS, str(error))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, to be made again in the triggerer."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {**self.arguments(), "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks every `POLL_S` seconds, at least once."""
        seen = Seen(Outcome.WAITING, "it was not looked for")
        try:
            await settle(self.deadline)
            while True:
                seen = await self._look(seen)
                if seen.outcome is not Outcome.WAITING or time.time() >= self.deadline:
                    break
                await asyncio.sleep(min(self.POLL_S, max(0.0, self.deadline - time.time())))
        finally:
            self.close()
        event = {"outcome": str(seen.outcome), "reason": seen.reason}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # as above

    async def _look(self, before: Seen) -> Seen:
        """A look, for as long as there is time; its thread ends by itself when the server's time-out does."""
        left = max(self.LOOK_S, self.deadline - time.time())
        try:
            return await asyncio.wait_for(asyncio.to_thread(self.look_once), left)
        except TimeoutError:
            return Seen(Outcome.WAITING, f"no answer to the last look; before: {before.reason}")
