"""Network namespaces of tests: made, entered, removed. Their names say what they belong to: `HOST` is an emulated
host's own, `HOST.something` is below it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "vigil-test-"
"""Of all that tests make machine-wide: namespaces, cgroups."""

PLACES = Path("/run/netns")
"""Where `ip netns` keeps them by name."""

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def make(name: str) -> None:
    """A namespace with nothing but its loopback, which is up.

    Raises:
        NetworkError: it could not be made.
    """
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")


def remove(name: str) -> None:
    """Also when it is gone already. Interfaces in it end when the last process in it does."""
    if (PLACES / name).exists():
        ip("netns", "delete", name)


def named(prefix: str) -> list[str]:
    """Those that there are, by the beginning of their names."""
    return sorted(place.name for place in PLACES.glob(f"{prefix}*")) if PLACES.is_dir() else []


class NetworkError(Exception):
    """Something of the network could not be made; the text is the program's or the kernel's own."""


def ip(*arguments: str) -> None:
    """Runs ip(8).

    Raises:
        NetworkError: it failed.
    """
    ran = subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NetworkError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Moves the calling thread into the namespace, and back afterwards.

    Threads and processes that it starts meanwhile begin there and stay there; sockets belong for ever to the namespace
    in which they were made. Other threads, for example those that wait in a pool, are where they were.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(PLACES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")
