"""What a deployment keeps of a packaged Elasticsearch and Kibana: passwords, API keys, tokens; a file of its owner."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from infra.machines import secret_file
from infra.machines.secret_file import PASSWORD_BYTES
from streaming.files import write_private


class _Content(msgspec.Struct):
    secrets: dict[str, str] = {}
    notes: dict[str, str] = {}


class Kept:
    """For one caller at a time. The file is replaced whole at each change, and made by the first.

    Raises:
        ConfigError: it cannot be read, or others may read it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = secret_file.read(file, _Content) or _Content()

    def password(self, name: str) -> str:
        """Made where there is none."""
        if name not in self._content.secrets:
            self.keep(name, secrets.token_urlsafe(PASSWORD_BYTES))
        return self._content.secrets[name]

    def secret(self, name: str) -> str | None:
        """One that was kept; None where there is none."""
        return self._content.secrets.get(name)

    def keep(self, name: str, value: str) -> None:
        """Keeps a secret, in place of an earlier one of its name."""
        self._content.secrets[name] = value
        self._write()

    def drop(self, name: str) -> None:
        """Forgets a secret."""
        if self._content.secrets.pop(name, None) is not None:
            self._write()

    def note(self, name: str, value: str) -> None:
        """Keeps what is no secret, such as an id."""
        self._content.notes[name] = value
        self._write()

    def noted(self, name: str) -> str | None:
        """What was noted; None where nothing was."""
        return self._content.notes.get(name)

    def values(self) -> frozenset[str]:
        """Every secret there is."""
        return frozenset(self._content.secrets.values())

    def _write(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._file, msgspec.json.encode(self._content), synced=True)
