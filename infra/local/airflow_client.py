"""The few questions that `vigil` asks Airflow's REST API."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx
import msgspec

from streaming import decoding
from streaming.errors import Unavailable, VigilError

ANSWER_WITHIN_S = 15.0
"""A single API worker that has just started, on a busy machine, needs several seconds for its first answers."""

PATIENT_ATTEMPTS = 4
"""A question that changes nothing is asked again where no answer came in time: 4 x 15 s. While a deployment starts
everything at once, its API may have to wait for a core for longer than one time-out."""

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass(frozen=True)
class TaskState:
    """One task of a run. `state` is Airflow's word; None while it is not yet scheduled."""

    name: str
    state: str | None
    tries: int
    started: str | None
    seconds: float | None


class _Task(msgspec.Struct):
    task_id: str
    state: str | None = None
    try_number: int = 0
    start_date: str | None = None
    duration: float | None = None


class _Tasks(msgspec.Struct):
    task_instances: list[_Task]


class _Run(msgspec.Struct):
    dag_run_id: str
    state: str


class _Token(msgspec.Struct):
    access_token: str


class _Component(msgspec.Struct):
    status: str | None = None


class _ImportError(msgspec.Struct):
    filename: str
    stack_trace: str


class _ImportErrors(msgspec.Struct):
    import_errors: list[_ImportError]


class _Log(msgspec.Struct):
    content: list[dict[str, object] | str] | str


class AirflowClient:
    """Speaks to one Airflow. Every call raises `Unavailable` when it does not answer, `VigilError` when it refuses."""

    def __init__(self, base_url: str, user: str, password: str) -> None:
        self._user, self._password = user, password
        # trust_env: this machine's own server must not be asked for through a proxy of the environment.
        self._http = httpx.Client(base_url=base_url, timeout=ANSWER_WITHIN_S, trust_env=False)
        self._base_url = base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def unhealthy(self) -> list[str]:
        """Components that do not report health; empty when all of Airflow works."""
        found = decoding.decode(self._ask("GET", "/api/v2/monitor/health"), dict[str, _Component])
        return [name for name in COMPONENTS if name not in found or found[name].status != "healthy"]

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG was read already."""
        return self._answer("GET", f"/api/v2/dags/{dag_id}").status_code == 200

    def import_errors(self) -> list[str]:
        """Files of DAGs that could not be read: `FILE: last line of the reason`."""
        body = self._ask("GET", "/api/v2/importErrors")
        errors = decoding.decode(body, _ImportErrors).import_errors
        return [f"{e.filename}: {(e.stack_trace.strip().splitlines() or ['?'])[-1]}" for e in errors]

    def unpause(self, dag_id: str) -> None:
        """Lets the DAG run (a person may have paused it; its runs would then wait for ever)."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def ensure_pool(self, name: str, description: str) -> None:
        """Makes a pool of one slot; one of that name stays as it is, also where a person has given it more."""
        if self._answer("GET", f"/api/v2/pools/{name}").status_code == 404:
            self._ask("POST", "/api/v2/pools", {"name": name, "slots": 1, "description": description})

    def trigger(self, dag_id: str, conf: dict[str, str]) -> str:
        """Starts a run; returns its id."""
        body = self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return decoding.decode(body, _Run).dag_run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return decoding.decode(self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"), _Run).state

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The tasks of a run, in the order in which they began (those that have not, last)."""
        body = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=200")
        found = decoding.decode(body, _Tasks).task_instances
        found.sort(key=lambda t: (t.start_date is None, t.start_date or "", t.task_id))
        return [TaskState(t.task_id, t.state, t.try_number, t.start_date, t.duration) for t in found]

    def log(self, dag_id: str, run_id: str, task: str, attempt: int) -> list[str]:
        """The log of one attempt, a line an event, errors with the message of their exception."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}?full_content=true"
        content = decoding.decode(self._ask("GET", path), _Log).content
        if isinstance(content, str):
            return content.splitlines()
        return [line if isinstance(line, str) else _text(line) for line in content]

    def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> bytes:
        answer = self._answer(method, path, body)
        if answer.status_code >= 400:
            raise VigilError(f"Airflow refused {method} {path}: {answer.status_code} {_excerpt(answer)}")
        return answer.content

    def _answer(self, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
        attempts = PATIENT_ATTEMPTS if method == "GET" else 1
        for attempt in range(1, attempts + 1):
            try:
                if "Authorization" not in self._http.headers and not path.endswith("/monitor/health"):
                    self._log_in()
                return self._http.request(method, path, json=body, headers={"Accept": "application/json"})
            except httpx.TimeoutException as error:
                if attempt == attempts:
                    raise self._unavailable(error) from error
            except httpx.HTTPError as error:
                raise self._unavailable(error) from error
        raise AssertionError("every attempt returns or raises")

    def _unavailable(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"Airflow does not answer at {self._base_url} ({error}); see `vigil status`")

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.status_code >= 400:
            raise VigilError(f"Airflow at {self._base_url} refuses the password of {self._user}: {_excerpt(answer)}")
        token = decoding.decode(answer.content, _Token).access_token
        self._http.headers["Authorization"] = f"Bearer {token}"


def _text(event: dict[str, object]) -> str:
    """One structured log event: its message, then the type and value of its exception."""
    parts = [str(event.get("event", ""))]
    details = event.get("error_detail")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict):
            parts.append(f"{detail.get('exc_type')}: {detail.get('exc_value')}")
    return " ".join(filter(None, parts))


def _excerpt(answer: httpx.Response) -> str:
    return " ".join(answer.text[:300].split())
