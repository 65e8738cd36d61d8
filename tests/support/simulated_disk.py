"""A disk in memory that behaves as badly as a real one may: see `SimulatedDisk`."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence


class Stopped(BaseException):
    """The process ends within a call to the disk. Not an error that anything should catch."""


class SimulatedDisk:
    """Keeps what was written and what is durable apart.

    `power_loss` leaves the durable and, of the rest, some pieces, zeros and noise. After a `sync` that failed, the
    bytes written since the last one count as clean and never become durable, though they can be read and later syncs
    succeed (as Linux does it). `flip` turns a bit. `stop_after` ends the process within the n-th call from now, before
    or after it took effect.
    """

    def __init__(self, seed: int = 0) -> None:
        self.written: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.room = 10**9
        self.fail_next_sync = False
        self.read_only = False
        self.unreadable: set[str] = set()
        self.stop_after: int | None = None
        self._never_durable: dict[str, list[tuple[int, int]]] = {}
        self._random = random.Random(seed)
        self._boots = 0

    @property
    def boot(self) -> bytes:
        return b"boot-%d" % self._boots

    def names(self) -> list[str]:
        return sorted(self.written)

    def size(self, name: str) -> int:
        return len(self.written[name])

    def read(self, name: str, offset: int, length: int) -> bytes:
        if name in self.unreadable:
            raise OSError(errno.EIO, "Input/output error")
        return self.written[name][offset : offset + length]

    def append(self, name: str, parts: Sequence[bytes]) -> None:
        self._change()
        data = b"".join(parts)
        stop = self._stops()
        taken = data[: max(0, self._left())]
        if stop:
            taken = taken[: self._random.randint(0, len(taken))]
        self.written[name] = self.written.get(name, b"") + taken
        if stop:
            raise Stopped
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self, name: str) -> None:
        self._change()
        if self.fail_next_sync:
            self.fail_next_sync = False
            begin, end = len(self.durable.get(name, b"")), len(self.written[name])
            self._never_durable.setdefault(name, []).append((begin, end))
            raise OSError(errno.EIO, "Input/output error")
        stop = self._stops()
        if not stop or self._random.random() < 0.5:
            self._make_durable(name)
        if stop:
            raise Stopped

    def _make_durable(self, name: str) -> None:
        if name not in self.durable and self.written[name]:
            raise AssertionError(f"{name} was filled before its name was made durable")
        data = bytearray(self.written[name])
        for begin, end in self._never_durable.get(name, []):
            data[begin:end] = bytes(max(0, min(end, len(data)) - begin))
        self.durable[name] = bytes(data)

    def truncate(self, name: str, length: int) -> None:
        self._change()
        self._stop()
        self.written[name] = self.written[name][:length]
        if name in self.durable:
            self.durable[name] = self.durable[name][:length]
        lies = [(begin, min(end, length)) for begin, end in self._never_durable.get(name, []) if begin < length]
        self._never_durable[name] = lies

    def overwrite(self, name: str, data: bytes) -> None:
        self._change()
        self._stop()
        self._need(len(data) - len(self.written.get(name, b"")))
        self.written[name] = data + self.written.get(name, b"")[len(data) :]

    def replace(self, name: str, data: bytes) -> None:
        self._change()
        self._need(len(data))  # old and new are there at the same time
        stop = self._stops()
        if not stop or self._random.random() < 0.5:
            self.written[name] = self.durable[name] = data
            self._never_durable.pop(name, None)
        if stop:
            raise Stopped

    def rename(self, name: str, new: str) -> None:
        self._change()
        self._stop()
        self.written[new] = self.written.pop(name)
        if name in self.durable:
            self.durable[new] = self.durable.pop(name)

    def delete(self, name: str) -> None:
        self._change()
        self._stop()
        self.written.pop(name, None)
        self.durable.pop(name, None)
        self._never_durable.pop(name, None)

    def sync_names(self) -> None:
        self._change()
        self._stop()
        for name in self.written:
            self.durable.setdefault(name, b"")

    def power_loss(self) -> None:
        """What is not durable is gone, or there in part: a beginning, pieces out of order, noise."""
        self.written = {name: self._after_power_loss(name) for name in self.durable}
        self.durable = dict(self.written)
        self._never_durable.clear()
        self._reset()
        self._boots += 1

    def kill(self) -> None:
        """The process is gone; all that it wrote can be read."""
        self._reset()

    def flip(self, name: str, bit: int) -> None:
        """Turns a bit at rest."""
        at, mask = (bit // 8) % len(self.written[name]), 1 << bit % 8
        for files in (self.written, self.durable):
            if at < len(files.get(name, b"")):
                data = bytearray(files[name])
                data[at] ^= mask
                files[name] = bytes(data)

    def _after_power_loss(self, name: str) -> bytes:
        durable = self.durable[name]
        written = self.written.get(name, durable)
        if not written.startswith(durable) or self._never_durable.get(name):
            return self._random.choice([durable, written]) if len(written) == len(durable) else durable
        pieces = [durable]
        at = len(durable)
        end = at + self._random.randint(0, len(written) - at)
        while at < end:
            step = self._random.randint(1, 120)
            kind = self._random.random()
            piece = written[at : min(at + step, end)]
            pieces.append(piece if kind < 0.7 else bytes(len(piece)) if kind < 0.9 else self._noise(len(piece)))
            at += step
        return b"".join(pieces)

    def _noise(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def _reset(self) -> None:
        self.stop_after, self.fail_next_sync, self.read_only = None, False, False
        self.unreadable.clear()

    def _change(self) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, "Read-only file system")

    def _stops(self) -> bool:
        """Whether the process ends within this call."""
        if self.stop_after is None:
            return False
        self.stop_after -= 1
        return self.stop_after < 0

    def _stop(self) -> None:
        if self._stops():
            raise Stopped

    def _left(self) -> int:
        return self.room - sum(map(len, self.written.values()))

    def _need(self, count: int) -> None:
        if count > self._left():
            raise OSError(errno.ENOSPC, "No space left on device")
