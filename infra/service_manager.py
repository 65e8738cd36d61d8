"""The port through which anything starts and stops services: `supervisor` here, systemd over SSH on VMs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class RunState(StrEnum):
    """What the process supervisor says of a service; says nothing of its health."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """Ended by itself, and was not or could not be started again."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service as its supervisor sees it. `detail` holds the reason and the place of the log on failure."""

    name: str
    state: RunState
    pid: int | None
    detail: str
    started_ms: int | None = None
    """When the process that runs was started, in ms since the epoch; None: it does not run, or nobody knows."""


class ServiceManager(Protocol):
    """Starts and stops services by name; the same names on every target. All calls are idempotent.

    Raises:
        streaming.errors.Unavailable: the supervisor itself does not answer.
        KeyError: no service of that name.
    """

    def start(self, name: str) -> None:
        """Asks for a start and returns; health is the gate's business."""
        ...

    def stop(self, name: str) -> None:
        """Stops it and returns when it has ended."""
        ...

    def restart(self, name: str) -> None:
        """Stop, then start."""
        ...

    def status(self, name: str) -> ServiceStatus:
        """State of one."""
        ...

    def all(self) -> list[ServiceStatus]:
        """State of every service, in start order."""
        ...
