"""What a server claims for itself before it starts: a loopback address, its ports, its state."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
from pathlib import Path

from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings


def require_loopback(settings: Settings) -> None:
    """Refuses an address that others can reach: these servers know neither TLS nor passwords.

    Raises:
        ConfigError: `bind_host` is not a loopback address.
    """
    try:
        fits = ipaddress.IPv4Address(settings.bind_host).is_loopback
    except ValueError:
        fits = settings.bind_host == "localhost"
    if not fits:
        raise ConfigError(
            f"{settings.bind_host!r} is not a loopback address of IPv4, and the local servers have no security",
            field="VIGIL_BIND_HOST",
            remedy="Use 127.0.0.1",
        )


def refuse_taken(host: str, port: int, setting: str) -> None:
    """Says in one line that a port is in use, before a server says it in a page.

    Raises:
        Unavailable: something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(
                f"{host}:{port} cannot be used: {error.strerror}. Stop what listens there, or set {setting}"
            ) from error


def claim_state(home: Path, name: str) -> None:
    """Makes sure that no second server uses the same state; held until this process ends, also across an exec.

    Raises:
        Unavailable: another process holds it.
    """
    place = home / "run" / f"{name}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Unavailable(
            f"{name} runs already with the state in {home}. Stop it, or use another VIGIL_HOME"
        ) from error
    os.set_inheritable(descriptor, True)
