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

    def pause_schedules(self) -> None:
        """Pauses the DAGs that run by themselves: an audit would see what tests break on purpose."""
        with self.airflow() as client:
            for dag in client.get("/api/v2/dags?limit=100").raise_for_status().json()["dags"]:
                if dag["timetable_summary"] and not dag["is_paused"]:
                    self._pause(client, dag["dag_id"], paused=True)

    def run_dag(self, dag_id: str, conf: Mapping[str, object] | None = None, timeout_s: float = 240.0) -> DagRun:
        """Runs a DAG by the real scheduler, once, and waits for its end."""
        with self.airflow() as client:
            was_paused = client.get(f"/api/v2/dags/{dag_id}").raise_for_status().json()["is_paused"]
            self._pause(client, dag_id, paused=False)
            try:
                made = client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf or {}})
                run = f"/api/v2/dags/{dag_id}/dagRuns/{made.raise_for_status().json()['dag_run_id']}"
                ended = ("success", "failed")
                wait_until(lambda: client.get(run).json()["state"] in ended, timeout_s, f"{dag_id} has ended")
                found = client.get(f"{run}/taskInstances?limit=200").json()["task_instances"]
                states = {task["task_id"]: task["state"] for task in found}
                logs = {
                    task["task_id"]: client.get(
                        f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}?full_content=true"
                    ).text
                    for task in found
                    if task["state"] in ended
                }
                return DagRun(client.get(run).json()["state"], states, logs)
            finally:
                self._pause(client, dag_id, paused=was_paused)

    @staticmethod
    def _pause(client: httpx.Client, dag_id: str, *, paused: bool) -> None:
        def done() -> bool:
            # Airflow's SQLite may be locked, by the DAG processor for one, which is an answer of status 500.
            answer = client.patch(f"/api/v2/dags/{dag_id}?update_mask=is_paused", json={"is_paused": paused})
            return answer.status_code < 500 and answer.raise_for_status().is_success

        wait_until(done, 60, f"{dag_id} is paused: {paused}")


@dataclass(frozen=True)
class DagRun:
    """A run's state, the state of each of its tasks, and the log of each that ended."""

    state: str
    tasks: dict[str, str]
    logs: dict[str, str]


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
