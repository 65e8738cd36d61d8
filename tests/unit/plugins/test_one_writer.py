"""Requests that write take turns where Airflow's database is SQLite; nobody else waits, and nobody for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from vigil_airflow.one_writer import OneWriter

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


class Slow:
    """An application whose requests end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.somebody_came = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        self.somebody_came.set()
        await self.go_on.wait()
        if scope["path"] == "/broken":
            raise ValueError("broken")


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    pass


def request(gate: OneWriter, path: str, method: str = "POST", kind: str = "http") -> asyncio.Task[None]:
    async def asked() -> None:
        await gate({"type": kind, "method": method, "path": path}, receive, send)

    return asyncio.create_task(asked())


async def turns() -> None:
    """All that can go on without an answer from outside has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(scene: Callable[[Slow], Awaitable[None]]) -> None:
    async def played() -> None:
        await scene(Slow())

    asyncio.run(played())


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////some/airflow.db")


def test_who_writes_waits_for_who_came_before() -> None:
    async def scene(app: Slow) -> None:
        gate = OneWriter(app)
        asked = [request(gate, "/1"), request(gate, "/2", "PATCH"), request(gate, "/3", "DELETE")]
        await turns()
        assert app.begun == ["/1"]
        app.go_on.set()
        await asyncio.gather(*asked)
        assert app.begun == ["/1", "/2", "/3"]

    run(scene)


def test_who_reads_waits_for_nobody() -> None:
    async def scene(app: Slow) -> None:
        gate = OneWriter(app)
        asked = [request(gate, "/write"), request(gate, "/read", "GET"), request(gate, "/socket", kind="websocket")]
        await turns()
        assert app.begun == ["/write", "/read", "/socket"]
        app.go_on.set()
        await asyncio.gather(*asked)

    run(scene)


def test_one_that_fails_or_is_left_does_not_keep_its_turn() -> None:
    async def scene(app: Slow) -> None:
        gate = OneWriter(app)
        broken, left, last = request(gate, "/broken"), request(gate, "/left"), request(gate, "/last")
        await turns()
        left.cancel()
        app.go_on.set()
        with pytest.raises(ValueError, match="broken"):
            await broken
        await last
        assert app.begun == ["/broken", "/last"]

    run(scene)


def test_one_that_never_ends_is_passed_after_a_while_and_its_turn_stays_its_own() -> None:
    async def scene(app: Slow) -> None:
        gate = OneWriter(app, patience_s=0.01)
        first = request(gate, "/endless")
        await turns()
        app.somebody_came.clear()
        second = request(gate, "/patient")
        await app.somebody_came.wait()
        assert app.begun == ["/endless", "/patient"]
        app.go_on.set()
        await asyncio.gather(first, second)
        await request(gate, "/after")

    run(scene)


def test_another_database_needs_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://airflow@db/airflow")

    async def scene(app: Slow) -> None:
        gate = OneWriter(app)
        asked = [request(gate, "/1"), request(gate, "/2")]
        await turns()
        assert app.begun == ["/1", "/2"]
        app.go_on.set()
        await asyncio.gather(*asked)

    run(scene)
