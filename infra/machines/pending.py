"""Which services of a machine have yet to be restarted, since what they read has changed: kept in a file until they
were, so that a run that was killed in between leaves no service that knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole


class Pending:
    """Of one deployment, whose folder this is.

    Raises:
        ConfigError: a file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "pending"

    def of(self, machine: str) -> frozenset[str]:
        """Names of the services."""
        file = self._file(machine)
        try:
            return frozenset(decoding.decode(file.read_bytes(), list[str]))
        except FileNotFoundError:
            return frozenset()
        except msgspec.DecodeError as error:
            raise ConfigError(str(error), file=file, remedy="Remove it, deploy, and restart all services") from error

    def add(self, machine: str, services: Iterable[str]) -> None:
        """These too have to be."""
        self._write(machine, self.of(machine) | frozenset(services))

    def done(self, machine: str, service: str) -> None:
        """This one was, or does not run."""
        self._write(machine, self.of(machine) - {service})

    def forget(self, machine: str) -> None:
        """All were."""
        self._file(machine).unlink(missing_ok=True)

    def _write(self, machine: str, services: frozenset[str]) -> None:
        if services:
            write_whole(self._file(machine), msgspec.json.encode(sorted(services)))
        else:
            self.forget(machine)

    def _file(self, machine: str) -> Path:
        return self._folder / f"{machine}.json"
