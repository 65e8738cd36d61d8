"""Real folders that are full, read-only or refuse: no acknowledgement, a clear word, recovery without a restart."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.accumulator.admission.room import Limit
from streaming.accumulator.spool.commit import Committer
from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.segment import Arrived
from streaming.accumulator.spool.spool import Spool
from streaming.worker.health import Health

WITHIN_S = 10.0
DISK_BYTES = 4 * 1024 * 1024
_MS_RDONLY, _MS_REMOUNT, _MNT_DETACH = 1, 32, 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, flags: int = 0) -> None:
    """A tmpfs of 4 MiB; OSError where that is not allowed."""
    options = f"size={DISK_BYTES}".encode()
    if _libc.mount(b"tmpfs", bytes(folder), b"tmpfs", flags, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder)
    except OSError as error:
        pytest.skip(f"a file system cannot be mounted here: {error}")
    yield folder
    _libc.umount2(bytes(folder), _MNT_DETACH)


class Bench:
    """A committer on a real folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.health = Health("accumulator1", "spool")
        self.spool = Spool(self.folder, segment_bytes=512 * 1024)
        condition = SpoolCondition("accumulator1", self.health)
        self.committer = Committer(self.spool, "accumulator1", condition, Limit(10**9, "block"))
        self.acknowledged: list[bytes] = []
        self._done: queue.Queue[bool] = queue.Queue()
        self._number = 0

    def send(self, length: int = 100_000) -> bool:
        self._number += 1
        body = b"%08d" % self._number + b"x" * length
        self.committer.submit(Arrived("app", body, 1, False, b"%d" % self._number, 1), self._done.put)
        durable = self._done.get(timeout=WITHIN_S)
        if durable:
            self.acknowledged.append(body)
        return durable

    def detail(self) -> str:
        check = self.health.answer()["checks"]["spool"]
        assert check["ok"] == (not check["detail"])
        return check["detail"]

    def deliver(self, count: int) -> list[bytes]:
        reader = self.spool.reader()
        found: list[bytes] = []
        while len(found) < count and (chunk := reader.next()):
            assert chunk.lost is None
            found.append(chunk.body)
            self.spool.delivered(chunk)
        return found

    def close(self) -> None:
        self.committer.close()
        self.folder.close()


@pytest.fixture
def bench(small_disk: Path) -> Iterator[Bench]:
    made = Bench(small_disk / "spool")
    yield made
    made.close()


def test_a_full_disk_refuses_until_delivery_has_made_room(bench: Bench) -> None:
    while bench.send():
        pass
    assert "No space left on device" in bench.detail()
    assert len(bench.acknowledged) > 30
    delivered = bench.deliver(20)
    assert bench.send(), "segments that are delivered were deleted, and nothing was restarted"
    assert bench.detail() == ""
    assert delivered + bench.deliver(1000) == bench.acknowledged


def test_a_disk_filled_by_another_refuses_until_that_is_gone(bench: Bench, small_disk: Path) -> None:
    assert bench.send()
    other = small_disk / "other"
    with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert [bench.send() for _ in range(2)] == [False, False]
    assert "No space left on device" in bench.detail()
    other.unlink()
    assert bench.send()
    assert bench.detail() == ""
    assert bench.deliver(10) == bench.acknowledged


def test_a_disk_that_turns_read_only_is_read_and_taken_up_again(bench: Bench, small_disk: Path) -> None:
    """As file systems do it at an error: files that are open for writing are refused, too."""

    def refuse(_name: str, _parts: object) -> None:
        raise OSError(30, "Read-only file system")

    assert bench.send()
    bench.folder.append = refuse  # type: ignore[method-assign, assignment]
    assert not bench.send()
    assert "Read-only file system" in bench.detail()
    assert bench.deliver(10) == bench.acknowledged, "what is there goes out"
    del bench.folder.append
    assert bench.send()
    assert bench.detail() == ""
    assert bench.deliver(10) == bench.acknowledged[1:]


def test_a_spool_on_a_read_only_disk_says_so_at_the_start(small_disk: Path) -> None:
    bench = Bench(small_disk / "spool")
    assert bench.send()
    bench.close()
    mount(small_disk, _MS_REMOUNT | _MS_RDONLY)
    folder = Folder(small_disk / "spool")
    with pytest.raises(OSError, match="Read-only file system"):
        Spool(folder)
    folder.close()
    mount(small_disk, _MS_REMOUNT)
    again = Bench(small_disk / "spool")
    assert again.deliver(10) == bench.acknowledged
    again.close()


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """Sets the largest size of a file that this process may write; the kernel then refuses with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_is_cut_short_leaves_nothing_behind(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    """Without any rights: the limit of a file's size makes the kernel take a part of a write and refuse the rest."""
    bench = Bench(tmp_path / "spool")
    assert bench.send()
    file_limit(150_000)
    assert not bench.send()
    assert "File too large" in bench.detail()
    file_limit(resource.RLIM_INFINITY)
    assert bench.send(20_000)
    assert bench.detail() == ""
    assert bench.deliver(10) == bench.acknowledged
    bench.close()
    again = Bench(tmp_path / "spool")
    assert again.spool.next_sequence == 3
    again.close()
