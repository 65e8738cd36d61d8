"""Airflow on one machine: its environment, its secrets, its database."""

from __future__ import annotations

import importlib.metadata
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra.local.layout import Layout
from streaming.errors import VigilError
from streaming.files import write_private
from streaming.settings import CHECKOUT, Settings

USER = "admin"

COMPONENTS: dict[str, tuple[str, ...]] = {
    # Log servers are skipped: all components share this machine's log folder, and their fixed ports
    # (8793, 8794) would let only one platform run.
    "airflow-api-server": ("api-server",),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-dag-processor": ("dag-processor",),
    "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Name of the program to the arguments of `airflow`, in start order."""

MIGRATE_WITHIN_S = 180.0
"""A new database takes 10 s on two free cores; a cold file cache and a busy machine make it several times that."""


def environment(layout: Layout, settings: Settings) -> dict[str, str]:
    """Airflow's configuration as environment; holds no secret (those are in `secret_files`)."""
    base_url = f"http://{settings.bind_host}:{settings.airflow_port}"
    return {
        "AIRFLOW_HOME": str(layout.airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Airflow reads plugins/.airflowignore by a deprecated class of pathspec, and would say so in every task's log.
        "PYTHONWARNINGS": "ignore::DeprecationWarning:airflow.sdk._shared.module_loading.file_discovery",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # The scheduler forks this many idle workers: 32 (the default) cost 430 MB more than 4.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(layout)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _database_url(layout),
        "AIRFLOW__API__HOST": settings.bind_host,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        # Deployment files change only with an upgrade: look for changes seldom, with one parser at a time.
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        # A deployment is a dozen steps one after another, each of which waits for the scheduler's next look.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # A task's supervisor that sees the pipes of its process closed, and the process not yet gone, looks again only
        # after so long (5 s by default), and many a step lasted so much longer.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        # Task logs go to Elasticsearch besides, and are read from the files: also while Elasticsearch is away.
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "vigil_airflow.task_logs.config.LOGGING_CONFIG",
        # Without it setproctitle writes over the environment, and with it over the mark that the sweep looks for.
        "SPT_NOENV": "1",
        "AIRFLOW__TRIGGERER__CAPACITY": "100",
    }


def secret_files(layout: Layout) -> dict[str, str]:
    """Variables of Airflow whose values lie in files of their own."""
    return {
        "AIRFLOW__CORE__FERNET_KEY": str(layout.airflow / "fernet.key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": str(layout.airflow / "jwt.key"),
        "AIRFLOW__API__SECRET_KEY": str(layout.airflow / "api.key"),
    }


def _passwords_file(layout: Layout) -> Path:
    return layout.airflow / "passwords.json"


def _database_url(layout: Layout) -> str:
    # A URL, so that odd characters of the path need quoting; and `%` is doubled, since it is interpolated.
    from urllib.parse import quote

    return "sqlite:///" + quote(str(layout.airflow / "airflow.db")).replace("%", "%%")


def make_secrets(layout: Layout) -> None:
    """Makes the keys and the administrator's password, each once, readable by their owner alone."""
    from cryptography.fernet import Fernet

    makers: dict[str, Callable[[], str]] = {
        "AIRFLOW__CORE__FERNET_KEY": lambda: Fernet.generate_key().decode(),
        "AIRFLOW__API_AUTH__JWT_SECRET": lambda: secrets.token_urlsafe(48),
        "AIRFLOW__API__SECRET_KEY": lambda: secrets.token_urlsafe(48),
    }
    for variable, path in secret_files(layout).items():
        if not Path(path).exists():
            write_private(Path(path), makers[variable]().encode())
    if not _passwords_file(layout).exists():
        write_private(_passwords_file(layout), json.dumps({USER: secrets.token_urlsafe(12)}).encode())


def read_secrets(layout: Layout) -> dict[str, str]:
    """Values of `secret_files`, for a program that no guard starts."""
    return {variable: Path(path).read_text(encoding="utf-8") for variable, path in secret_files(layout).items()}


def password(layout: Layout) -> str:
    """The administrator's password.

    Raises:
        VigilError: it was not made yet, or its file is damaged.
    """
    file = _passwords_file(layout)
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))[USER])
    except FileNotFoundError as error:
        raise VigilError(f"no password for Airflow at {file}; `vigil up` makes it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VigilError(f"{file}: {type(error).__name__}: {error}. Remove it; `vigil up` makes a new one") from error


def migrate_database(layout: Layout, env: dict[str, str]) -> bool:
    """Brings Airflow's database to this version; false where it was there already (known by a stamp, in no time).

    Raises:
        VigilError: the migration failed; the text ends with its last words and the log's place.
    """
    version = importlib.metadata.version("apache-airflow")
    stamp = layout.airflow / "database.version"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == version and (layout.airflow / "airflow.db").exists():
        return False
    log = layout.text_log("airflow-migrate")
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=env,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=MIGRATE_WITHIN_S,
                umask=0o077,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise VigilError(f"`airflow db migrate` took over {MIGRATE_WITHIN_S:.0f} s; see {log}") from error
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise VigilError(f"`airflow db migrate` failed: {' '.join(last)}; see {log}")
    write_private(stamp, version.encode())
    return True
