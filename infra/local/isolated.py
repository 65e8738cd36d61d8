"""A platform beside others on the same machine: a home of its own and free ports, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

from pydantic import SecretStr

from streaming.settings import CHECKOUT, SLOT_STRIDE, Settings

HEALTH_PORTS = 2 * SLOT_STRIDE
"""Two slots of every worker, beside each other."""


def isolated_settings(home: Path, **more: object) -> Settings:
    """Settings of a platform in `home` whose ports nobody uses now; `more` are further fields, by name.

    The environment and `vigil.toml` do not count. The jars of the checkout's own platform are shared.
    """
    home.mkdir(parents=True, exist_ok=True)
    jars = CHECKOUT / ".vigil" / "jars"
    jars.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (home / "jars").symlink_to(jars)
    names = [name for name in Settings.model_fields if name.endswith("_port")]
    health_port_base = _free_run(HEALTH_PORTS)
    taken = range(health_port_base, health_port_base + HEALTH_PORTS)
    ports = dict(zip(names, _free_ports(len(names), taken), strict=True))
    return Settings.model_validate({"home": home, "health_port_base": health_port_base, **ports, **more})


def as_environment(settings: Settings) -> dict[str, str]:
    """All settings as environment variables, secrets included: for a process's environment, never for a file."""
    variables = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        variables[settings.variable(name)] = text
    return variables


PORTS = range(12_000, 20_000)
"""Below those that the kernel gives to outgoing connections (32768 and up), which could take one between this look and
the server's start; and chosen by chance, so that two platforms that are made at the same time do not choose alike."""


def _free_ports(count: int, taken: range) -> list[int]:
    """None of those that are `taken`."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in _RANDOM.sample([port for port in PORTS if port not in taken], len(PORTS) - len(taken)):
            with contextlib.suppress(OSError):
                found.append(_hold(held, port))
            if len(found) == count:
                return found
    raise OSError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def _free_run(length: int) -> int:
    """First of so many free ports in a row."""
    starts = PORTS[: -length or None : length]
    for start in _RANDOM.sample(starts, len(starts)):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(start, start + length):
                _hold(held, port)
            return start
    raise OSError(f"no {length} free ports in a row between {PORTS.start} and {PORTS.stop}")


_RANDOM = random.SystemRandom()


def _hold(held: contextlib.ExitStack, port: int) -> int:
    holder = held.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    return int(holder.getsockname()[1])
