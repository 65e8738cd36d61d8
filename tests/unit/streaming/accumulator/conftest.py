"""A disk that forgets, tears and fails, as disks do."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence

import pytest


class SimulatedDisk:
    """Keeps what was written and what is durable apart; `crash` leaves the durable and a random part of the rest."""

    def __init__(self, seed: int = 0) -> None:
        self.written: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.room = 10**9
        self.fail_next_sync = False
        self._random = random.Random(seed)

    def names(self) -> list[str]:
        return sorted(self.written)

    def size(self, name: str) -> int:
        return len(self.written[name])

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self.written[name][offset : offset + length]

    def append(self, name: str, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        used = sum(map(len, self.written.values()))
        taken = data[: max(0, self.room - used)]
        self.written[name] = self.written.get(name, b"") + taken
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self, name: str) -> None:
        if self.fail_next_sync:
            self.fail_next_sync = False
            raise OSError(errno.EIO, "Input/output error")
        if name in self.durable or not self.written[name]:
            self.durable[name] = self.written[name]
        else:
            raise AssertionError(f"{name} was filled before its name was made durable")

    def truncate(self, name: str, length: int) -> None:
        self.written[name] = self.written[name][:length]
        self.durable[name] = self.durable[name][:length]

    def overwrite(self, name: str, data: bytes) -> None:
        self.written[name] = data + self.written.get(name, b"")[len(data) :]

    def replace(self, name: str, data: bytes) -> None:
        self.written[name] = self.durable[name] = data

    def rename(self, name: str, new: str) -> None:
        self.written[new] = self.written.pop(name)
        if name in self.durable:
            self.durable[new] = self.durable.pop(name)

    def delete(self, name: str) -> None:
        self.written.pop(name, None)
        self.durable.pop(name, None)

    def sync_names(self) -> None:
        for name in self.written:
            self.durable.setdefault(name, b"")

    def crash(self) -> None:
        """Power goes: of what was not synced, a prefix may be there, followed by noise."""
        after: dict[str, bytes] = {}
        for name, durable in self.durable.items():
            written = self.written.get(name, durable)
            if not written.startswith(durable):
                after[name] = self._random.choice([durable, written])
                continue
            unsynced = written[len(durable) :]
            kept = unsynced[: self._random.randint(0, len(unsynced))]
            noise = self._random.randbytes(self._random.randint(0, len(unsynced) - len(kept)))
            after[name] = durable + kept + noise
        self.written, self.durable = dict(after), dict(after)


@pytest.fixture
def disk() -> SimulatedDisk:
    """An empty simulated disk."""
    return SimulatedDisk()
