"""One request at a time that changes Airflow's database, where that is SQLite.

Airflow's API server notes who did what in the event loop, by a call that waits for SQLite's lock of writers. A request
of another thread that has this lock needs the event loop to give it back. So both wait until SQLite's patience is over
(5 s), in which the server answers nobody, and one of them fails with "Database error": a click while a task begins is
enough (seen with Airflow 3.3.2, in `action_logging`). SQLite lets one write at a time anyway, so nothing is lost by
letting requests that may write begin one after the other.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

PATIENCE_S: Final = 10.0
"""After it a request goes on beside the one that is in its way (the test of a connection to a far server, say): that
may hold it up by SQLite's 5 s, which is better than tasks whose heartbeats wait for that server."""


class OneWriter:
    """ASGI middleware. Requests that write are let through in the order in which they came; others pass at once."""

    def __init__(self, app: ASGIApp, patience_s: float = PATIENCE_S) -> None:
        self._app, self._patience_s = app, patience_s
        self._turn = asyncio.Lock()
        # Here, since every process of Airflow imports this module, and its API server alone makes one of these.
        from airflow.configuration import conf

        self._is_needed = conf.get("database", "sql_alchemy_conn").startswith("sqlite")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READING or not self._is_needed:
            await self._app(scope, receive, send)
            return
        # Whole: what is written is committed only after the answer.
        async with self._its_turn():
            await self._app(scope, receive, send)

    @asynccontextmanager
    async def _its_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turn.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            self._turn.release()
