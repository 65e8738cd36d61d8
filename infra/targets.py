"""Where a platform runs, by name, and what anyone who deploys, asks or audits one needs of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from infra.gates import Probe
from infra.service_manager import ServiceManager
from infra.services import Service, Stage
from streaming.errors import ConfigError
from streaming.files import write_whole
from streaming.settings import Settings


class Kind(StrEnum):
    """The targets."""

    LOCAL = "local"
    """This machine, under its process supervisor."""
    VIRTUALBOX = "virtualbox"
    """Machines that Terraform makes in VirtualBox."""
    INVENTORY = "inventory"
    """Machines that are there already, named by a file."""


TARGETS: tuple[str, ...] = tuple(map(str, Kind))

DEPLOYMENT = "vigil"
"""Of a target of machines that names no deployment."""

DEPLOYED_LAST = "deployed-last"
"""In place of a target: the platform that was deployed last; `local` where none was."""

Report = Callable[[str], None]


class Target(Protocol):
    """One platform. Nothing is connected before its first use."""

    @property
    def reference(self) -> Reference:
        """By which it is found again."""
        ...

    @property
    def home(self) -> Path:
        """Where this host keeps what it knows of this platform: the last order, audits, reports."""
        ...

    @property
    def settings(self) -> Settings:
        """By which programs here reach its Kafka and Elasticsearch; `home` is the one above.

        Raises:
            ConfigError: what they need cannot be read.
        """
        ...

    @property
    def manager(self) -> ServiceManager:
        """Starts and stops its services."""
        ...

    @property
    def services(self) -> Mapping[str, Service]:
        """Those that it has, by name, in start order."""
        ...

    @property
    def brokers(self) -> int | None:
        """How many brokers its Kafka is to have; None: as many as there are."""
        ...

    def start(self, name: str, report: Report) -> None:
        """Asks for a start of a service, and does what its health needs besides. Harmless where it runs.

        Raises:
            Unavailable, KeyError: as `ServiceManager`.
        """
        ...

    def complete(self, stage: Stage, report: Report) -> None:
        """Makes what only then can be made when the services of a stage are healthy: topics, templates. Harmless where
        they are there.

        Raises:
            Unavailable: a server does not answer, or refuses.
        """
        ...

    def probe(self, service: Service, timeout_s: float) -> Probe:
        """Asks a service's health gate once."""
        ...

    def last_words(self, name: str) -> tuple[str, list[str]]:
        """Where a service's log is, for a person, and its last lines, fit to be shown; none where it cannot be had."""
        ...

    def sending(self) -> AbstractContextManager[Settings]:
        """Settings by which logs can be sent to its first accumulator, while the block lasts.

        Raises:
            Unavailable: there is no way to it.
        """
        ...

    def close(self) -> None:
        """Disconnects."""
        ...


@dataclass(frozen=True)
class Reference:
    """A target by name; of machines, which deployment. Its text is `local`, or `virtualbox:vigil`."""

    kind: Kind
    deployment: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.deployment}" if self.deployment else str(self.kind)


def reference(text: str, settings: Settings) -> Reference:
    """From `local`, `virtualbox`, `inventory:NAME`, or `DEPLOYED_LAST`.

    Raises:
        ConfigError: no such target; the text names those that exist.
    """
    if text == DEPLOYED_LAST:
        text = _last(settings)
    name, _, deployment = text.partition(":")
    try:
        kind = Kind(name)
    except ValueError:
        raise ConfigError(
            f"no target {name!r}", field="target", remedy=f"There is: {', '.join((*TARGETS, DEPLOYED_LAST))}"
        ) from None
    return Reference(kind, "" if kind is Kind.LOCAL else deployment or DEPLOYMENT)


def open_target(text: str, settings: Settings) -> Target:
    """The platform of a target.

    Args:
        text: as `reference` takes it.
        settings: this installation's.

    Raises:
        ConfigError: no such target, or no such deployment was made.
    """
    found = reference(text, settings)
    if found.kind is Kind.LOCAL:
        from infra.local.target import LocalTarget

        return LocalTarget(settings)

    from infra.machines import known
    from infra.machines.as_target import MachinesTarget

    return MachinesTarget(found, known.machines(settings, found.deployment))


def remember_last(found: Reference, settings: Settings) -> None:
    """What `DEPLOYED_LAST` means from now on.

    Raises:
        ConfigError: it cannot be written.
    """
    write_whole(_last_file(settings), f"{found}\n".encode(), remedy="Is VIGIL_HOME another user's?")


def forget_last(found: Reference, settings: Settings) -> None:
    """Where it was deployed last, nothing was."""
    if _last(settings) == str(found):
        _last_file(settings).unlink(missing_ok=True)


def _last(settings: Settings) -> str:
    try:
        return _last_file(settings).read_text(encoding="utf-8").strip() or Kind.LOCAL
    except FileNotFoundError:
        return Kind.LOCAL


def _last_file(settings: Settings) -> Path:
    return settings.home / "run" / "target"
