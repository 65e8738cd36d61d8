"""A running platform, and what a test asks of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from infra.local.supervisor import SupervisorManager
from streaming.settings import CHECKOUT, Settings
from tests.support.fake_slack import FakeSlack

T = TypeVar("T")


def wait_until(look: Callable[[], T], timeout_s: float, what: str) -> T:
    """Looks every 0.1 s until it sees something true."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last seen: {seen!r})")
        time.sleep(0.1)
    return seen


@dataclass
class Platform:
    """A running platform, and what a test asks of it."""

    settings: Settings
    environment: dict[str, str]
    slack: FakeSlack
    said: str
    """What `vigil up` printed."""

    def vigil(self, *arguments: str, timeout_s: float = 120.0, expect: int | None = 0) -> str:
        """Runs a `vigil` command; its standard output."""
        return vigil(self.environment, *arguments, timeout_s=timeout_s, expect=expect)

    @property
    def manager(self) -> SupervisorManager:
        """The supervisor of this platform."""
        return SupervisorManager(self.settings)

    def search(self, body: Mapping[str, object]) -> dict[str, object]:
        """A search over all logs, after a refresh."""
        url = f"{self.settings.elasticsearch}/{self.settings.index_prefix}-logs-*"
        httpx.post(f"{url}/_refresh", timeout=30).raise_for_status()
        answer = httpx.post(f"{url}/_search", json=body, timeout=30)
        found: dict[str, object] = answer.raise_for_status().json()
        return found

    def count(self, query: Mapping[str, object]) -> int:
        """Number of log documents that match."""
        found = self.search({"size": 0, "track_total_hits": True, "query": query})
        return int(found["hits"]["total"]["value"])  # type: ignore[index]  # JSON of a known shape

    def airflow(self) -> httpx.Client:
        """A client of Airflow's API that has logged in as the printed user."""
        user, password = re.search(r"user (\S+), password (\S+)", self.said).groups()  # type: ignore[union-attr]
        base = f"http://{self.settings.bind_host}:{self.settings.airflow_port}"
        token = httpx.post(f"{base}/auth/token", json={"username": user, "password": password}, timeout=30)
        headers = {"Authorization": f"Bearer {token.raise_for_status().json()['access_token']}"}
        return httpx.Client(base_url=base, headers=headers, timeout=60)


def vigil(environment: dict[str, str], *arguments: str, timeout_s: float = 120.0, expect: int | None = 0) -> str:
    """Runs a `vigil` command in this environment and checks its exit code (None: any will do); its standard output."""
    done = subprocess.run(
        [Path(sys.executable).with_name("vigil"), *arguments],
        env=environment,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert expect in (None, done.returncode), (
        f"vigil {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout
