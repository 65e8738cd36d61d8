"""Every program of the one-machine platform: its command line and its environment."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from infra.local import airflow
from infra.local.layout import MARK, Layout
from infra.services import GIVES_WAY, MODULES, catalogue
from streaming.settings import CHECKOUT, Settings, config_file

PLAIN_TEXT = frozenset(["kafka", "elasticsearch", *airflow.COMPONENTS])
"""Programs that log plain text; all others log JSON lines to standard error."""

_MODULES = {
    "kafka": "infra.local.kafka",
    "elasticsearch": "infra.local.elasticsearch",
    **MODULES,
}


def commands(settings: Settings) -> dict[str, list[str]]:
    """Name to command line: Airflow's components, then the services of the catalogue, each in start order."""
    python = sys.executable
    found = {name: [python, "-m", "airflow", *args] for name, args in airflow.COMPONENTS.items()}
    for service in catalogue(settings):
        found[service.name] = (
            _accumulator(service.name, settings)
            if service.name.startswith("accumulator")
            else [python, "-m", _MODULES[service.name]]
        )
    return found


def niceness(settings: Settings) -> dict[str, int]:
    """By name; Airflow provisions and reports, and gives way to what does."""
    return dict.fromkeys(airflow.COMPONENTS, GIVES_WAY) | {s.name: s.niceness for s in catalogue(settings)}


def _accumulator(name: str, settings: Settings) -> list[str]:
    conf = str(settings.fluentd_path.resolve() / f"fluent{name.removeprefix('accumulator')}.conf")
    if settings.accumulator_engine == "fluentd":
        import shutil

        # Preflight says so when there is none; the bare name makes the program's own failure as clear.
        return [shutil.which("fluentd") or "fluentd", "-c", conf]
    return [sys.executable, "-m", "streaming.accumulator", conf, "--name", name]


def environment(layout: Layout, settings: Settings) -> dict[str, str]:
    """What every program finds in its environment; no secret is among it.

    All settings are given, not only those that differ from their defaults: what `vigil up` resolved is then what
    every process uses, whatever the environment or `vigil.toml` say later.
    """
    return {
        **_settings(layout, settings),
        "VIGIL_CONFIG": str(config_file().resolve()),
        "VIGIL_LOG_DIR": str(layout.logs),
        MARK: str(layout.home),
        "PYTHONUNBUFFERED": "1",
        # glibc keeps up to eight arenas of freed memory per core for each process; two are enough here.
        "MALLOC_ARENA_MAX": "2",
        **airflow.environment(layout, settings),
    }


def own_environment(layout: Layout, settings: Settings) -> dict[str, dict[str, str]]:
    """What single programs find besides, by their names: a real Fluentd is told all that its files ask for."""
    if settings.accumulator_engine != "fluentd":
        return {}
    from streaming.accumulator.environment import variables

    found = variables(settings.model_copy(update={"home": layout.home}))
    return {name: found for name in commands(settings) if name.startswith("accumulator")}


def inherited(layout: Layout, settings: Settings) -> dict[str, str]:
    """The supervisor's own environment, which its programs inherit: this process's, with secrets that it may hold."""
    without_proxy = ",".join(filter(None, [os.environ.get("no_proxy"), "localhost,127.0.0.1", settings.bind_host]))
    return {
        **os.environ,
        MARK: str(layout.home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        # Airflow's HTTP clients would ask a proxy of the environment even for this machine.
        "NO_PROXY": without_proxy,
        "no_proxy": without_proxy,
    }


def _settings(layout: Layout, settings: Settings) -> dict[str, str]:
    found = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            continue
        found[settings.variable(name)] = str(value.resolve() if isinstance(value, Path) else value)
    return found | {"VIGIL_HOME": str(layout.home)}


def declaration(layout: Layout, settings: Settings) -> str:
    """The file that `infra.local.guard` reads (JSON)."""
    return json.dumps(
        {
            "directory": str(CHECKOUT),
            "environment": environment(layout, settings),
            "own_environment": own_environment(layout, settings),
            "secret_files": dict.fromkeys(airflow.COMPONENTS, airflow.secret_files(layout)),
            "secrets": str(layout.secrets),
            # Tells a changed token, without the token.
            "secrets_version": _version_of_secrets(layout, settings),
            "programs": commands(settings),
            "niceness": niceness(settings),
        },
        indent=1,
    )


def _version_of_secrets(layout: Layout, settings: Settings) -> str:
    digest = hashlib.sha256(settings.slack_bot_token.get_secret_value().encode())
    if layout.secrets.exists():
        digest.update(layout.secrets.read_bytes())
    return digest.hexdigest()[:16]


def has_changed(layout: Layout, settings: Settings) -> bool:
    """Whether programs would now be started otherwise than those that run (there is a declaration of their start).

    A token that is missing now does not count: `vigil up` in another shell must not silence the notifier.
    """
    try:
        before = json.loads(layout.programs.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return True  # without its declaration no program can be started again
    if not isinstance(before, dict):
        return True
    now = json.loads(declaration(layout, settings))
    if not settings.slack_bot_token.get_secret_value():
        now["secrets_version"] = before.get("secrets_version")
    return bool(before != now)
