"""Brings the one-machine platform up: checks, servers, supervisor, Airflow, deployment, first alert."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.gates import probe
from infra.local import airflow, preflight, programs
from infra.local.airflow_client import AirflowClient
from infra.local.deployment import DAG_ID, deploy
from infra.local.down import down
from infra.local.jars import ensure_jars
from infra.local.layout import Layout
from infra.local.progress import Progress
from infra.local.starting import starting
from infra.local.supervisor import SupervisorManager, configuration, is_running, launch, socket_setting
from infra.local.sweep import marked, sweep
from infra.pools import POOLS
from infra.service_manager import RunState
from infra.services import catalogue
from streaming.alerting.messages import Receipt
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings

CANARY = "canary"
"""How the rules of the platform's own trial alerts are called; they are not the alert that a new user waits for."""

POLL_S = 0.5

NOT_DELIVERED_S = 20.0
"""A receiver that is away for a moment is tried again within seconds; what lasts longer needs a person."""


@dataclass(frozen=True)
class Place:
    """Where Airflow is, for the person who has just started it."""

    url: str
    user: str
    password: str


def up(settings: Settings, progress: Progress, deploying: bool, timeout_s: float) -> tuple[Place, Receipt | None]:
    """Brings everything up, or repairs what is not; returns where Airflow is and, if it deployed, an alert.

    Raises:
        VigilError: what went wrong, with its reason; what was started stays up, to be looked at.
    """
    deadline = time.monotonic() + timeout_s
    layout = Layout(settings.home)
    with starting(layout, timeout_s, progress.say):
        _ensure_supervisor(settings, layout, progress)
    # The servers' jars are fetched while Airflow starts, which takes longest.
    with progress.phase("Servers' jars"):
        ensure_jars(settings.jars, progress.note)
    with _client(settings, layout) as client:
        with progress.phase("Airflow"):
            _await_airflow(client, SupervisorManager(settings), deadline, progress)
        alert = None
        if deploying:
            with progress.phase(f"Deployment ({DAG_ID})"):
                deploy(client, "local", deadline, progress.tasks, progress.say)
            with progress.phase("First alert"):
                alert = await_first_alert(settings, deadline, progress.note)
    return Place(_url(settings), airflow.USER, airflow.password(layout)), alert


def _ensure_supervisor(settings: Settings, layout: Layout, progress: Progress) -> None:
    """Starts the supervisor with Airflow's components, where it does not run already with these very settings."""
    if _check(settings, layout, progress):
        return
    with progress.phase("Airflow's database"):
        airflow.make_secrets(layout)
        airflow.migrate_database(layout, _migration_environment(layout, settings))
    with progress.phase("Process supervisor"):
        _launch(settings, layout)


def _check(settings: Settings, layout: Layout, progress: Progress) -> bool:
    """Preflight; whether the platform runs already, with these very settings."""
    running = is_running(layout)
    if running and programs.has_changed(layout, settings):
        with progress.phase("Stop: settings have changed since the start"):
            down(settings, progress.note)
        running = False
    if not running and marked(layout):
        with progress.phase("Sweep: processes without a supervisor"):
            sweep(layout)
    with progress.phase("Checks"):
        checks = preflight.check(settings, layout, preflight.this_machine(layout), running)
        preflight.require(checks)
    return running


def _launch(settings: Settings, layout: Layout) -> None:
    conf = configuration(
        names=programs.commands(settings),
        autostart=airflow.COMPONENTS,
        plain_text=programs.PLAIN_TEXT,
        socket_path=socket_setting(layout),
    )
    launch(layout, conf, programs.declaration(layout, settings), programs.inherited(layout, settings))


def _migration_environment(layout: Layout, settings: Settings) -> dict[str, str]:
    return programs.inherited(layout, settings) | programs.environment(layout, settings) | airflow.read_secrets(layout)


def _url(settings: Settings) -> str:
    return f"http://{settings.bind_host}:{settings.airflow_port}"


def _client(settings: Settings, layout: Layout) -> AirflowClient:
    return AirflowClient(_url(settings), airflow.USER, airflow.password(layout))


def _await_airflow(client: AirflowClient, manager: SupervisorManager, deadline: float, progress: Progress) -> None:
    """Until all components are healthy, the deployment's DAG is there, and so are the pools."""
    for name in airflow.COMPONENTS:
        manager.start(name)
    while True:
        waiting = _missing(client)
        if not waiting:
            break
        ended = [s for s in manager.statuses(airflow.COMPONENTS) if s.state is RunState.FAILED]
        if ended:
            raise VigilError(f"{ended[0].name} failed: {ended[0].detail}")
        if time.monotonic() > deadline:
            raise Unavailable(f"Airflow is not ready in time: {waiting}; see {manager.log_hint(airflow.COMPONENTS)}")
        progress.note(waiting)
        time.sleep(POLL_S)
    for name, description in POOLS.items():
        client.ensure_pool(name, description)


def _missing(client: AirflowClient) -> str:
    """What Airflow still lacks; empty when it is ready.

    Raises:
        VigilError: the deployment's DAG cannot be read.
    """
    try:
        unhealthy = client.unhealthy()
    except Unavailable:
        return "waiting for its API"
    if unhealthy:
        return f"waiting for {', '.join(unhealthy)}"
    if client.has_dag(DAG_ID):
        return ""
    errors = client.import_errors()
    if errors:
        raise VigilError("DAGs that cannot be read:\n" + "\n".join(f"  {error}" for error in errors))
    return f"waiting for {DAG_ID} to be read"


def await_first_alert(settings: Settings, deadline: float, note: Callable[[str], None]) -> Receipt:
    """Waits until an alert that is no canary was delivered; the latest where there are several.

    Raises:
        VigilError: there is none by the deadline, or the notifier has been unable to deliver for a while (a wrong
            token or channel, say); the text has its reason.
    """
    from streaming.alerting.receipts import read_receipts

    notifier = next(service for service in catalogue(settings) if service.name == "notifier")
    ill_since: float | None = None
    while True:
        alert = latest_real(read_receipts(settings))
        if alert:
            return alert
        health = probe(notifier, settings)
        ill_since = None if health.ok else ill_since or time.monotonic()
        if ill_since:
            note(health.reason)
            if time.monotonic() - ill_since > NOT_DELIVERED_S:
                raise VigilError(f"the platform runs, but its notifier cannot deliver alerts: {health.reason}")
        if time.monotonic() > deadline:
            raise VigilError(
                "all services are healthy, but no alert was delivered yet: the load generator makes errors now and "
                "then. `vigil incidents` shows what there is, `vigil status` the state of the notifier"
            )
        time.sleep(POLL_S)


def latest_real(receipts: Sequence[Receipt]) -> Receipt | None:
    """The latest receipt that is not of a canary."""
    real = [receipt for receipt in receipts if not receipt.rule_id.startswith(CANARY)]
    return max(real, key=lambda receipt: receipt.sent_ms, default=None)
