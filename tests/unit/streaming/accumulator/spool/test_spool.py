"""The spool: what was acknowledged comes out, in order, under the same sequence, whatever the disk does."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.segment import Arrived, Stored, resend_key
from streaming.accumulator.spool.spool import Spool
from streaming.errors import Unavailable

SMALL = 600
"""Bytes of a segment in these tests: a few chunks."""


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
        taken = data[: max(0, self._left())]
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

    def _left(self) -> int:
        return self.room - sum(map(len, self.written.values()))

    def _need(self, count: int) -> None:
        if count > self._left():
            raise OSError(errno.ENOSPC, "No space left on device")

    def overwrite(self, name: str, data: bytes) -> None:
        self._need(len(data) - len(self.written.get(name, b"")))
        self.written[name] = data + self.written.get(name, b"")[len(data) :]

    def replace(self, name: str, data: bytes) -> None:
        self._need(len(data))  # old and new are there at the same time
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


def chunk(number: int, chunk_id: bytes | None = None, length: int = 50) -> Arrived:
    return Arrived("app", b"%08d" % number + b"x" * length, 3, False, chunk_id or b"id%d" % number, 1_000 + number)


def read_all(spool: Spool) -> list[Stored]:
    return list(iter(spool.reader().next, None))


class AcknowledgedComesOut(RuleBasedStateMachine):
    """A list stands for the spool: (sequence, body) of what was acknowledged and not yet delivered."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.disk = SimulatedDisk(seed)
        self.numbers = itertools.count()
        self.acknowledged: dict[int, bytes] = {}
        self.delivered_to = 1
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.disk, segment_bytes=SMALL, make_incarnation=lambda: "0000cafe", clock=lambda: 0.0)

    @rule(count=st.integers(1, 5), length=st.integers(0, 200))
    def append(self, count: int, length: int) -> None:
        chunks = [chunk(next(self.numbers), length=length) for _ in range(count)]
        first = self.spool.next_sequence
        try:
            self.spool.append(chunks)
        except OSError:
            assert self.spool.next_sequence == first
            assert not any(self.spool.knows(resend_key(c)) for c in chunks)
            return
        self.acknowledged |= {first + n: c.body for n, c in enumerate(chunks)}
        assert all(self.spool.knows(resend_key(c)) for c in chunks)

    @rule(room=st.integers(0, 300))
    def disk_fills_and_is_freed(self, room: int) -> None:
        self.disk.room = sum(map(len, self.disk.written.values())) + room
        self.append(3, 100)
        self.deliver(5)
        self.disk.room = 10**9

    @rule()
    def sync_fails_once(self) -> None:
        self.disk.fail_next_sync = True
        self.append(2, 30)
        self.disk.fail_next_sync = False

    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        for stored in itertools.islice(iter(self.spool.reader().next, None), count):
            self.spool.delivered(stored)
            self.delivered_to = stored.sequence + 1

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        self.open()
        self.delivered_to = self.spool.delivered_to
        # What was not acknowledged may be there too: it takes sequences of its own, behind.
        for stored in read_all(self.spool):
            self.acknowledged.setdefault(stored.sequence, stored.body)

    @rule()
    def stop_and_start(self) -> None:
        self.spool.save_cursor()
        self.open()
        assert self.spool.delivered_to == self.delivered_to
        for stored in read_all(self.spool):
            self.acknowledged.setdefault(stored.sequence, stored.body)

    @invariant()
    def everything_acknowledged_comes_out_in_order(self) -> None:
        found = read_all(self.spool)
        sequences = [c.sequence for c in found]
        assert sequences == list(range(self.spool.delivered_to, self.spool.next_sequence))
        assert self.spool.delivered_to <= self.delivered_to
        assert {c.sequence: c.body for c in found} == {
            s: body for s, body in self.acknowledged.items() if s >= self.spool.delivered_to
        }
        assert self.spool.backlog_bytes == sum(c.size for c in found)
        assert not any(name.endswith(".damaged") for name in self.disk.names())


TestAcknowledgedComesOut = AcknowledgedComesOut.TestCase
TestAcknowledgedComesOut.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_damaged_segment_is_set_aside_and_its_good_chunks_stay(disk: SimulatedDisk) -> None:
    spool = Spool(disk, segment_bytes=10**6)
    spool.append([chunk(n) for n in range(10)])
    name = next(n for n in disk.names() if n.endswith(".segment"))
    broken = bytearray(disk.written[name])
    broken[broken.index(b"00000004") + 3] ^= 0x40
    disk.replace(name, bytes(broken))

    again = Spool(disk, segment_bytes=10**6)
    assert [c.sequence for c in read_all(again)] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert f"{name}.damaged" in disk.names()
    assert again.next_sequence == 11
    assert again.incarnation == spool.incarnation


def test_a_damaged_header_costs_its_chunk_alone(disk: SimulatedDisk) -> None:
    spool = Spool(disk, segment_bytes=10**6)
    spool.append([chunk(n) for n in range(4)])
    name = next(n for n in disk.names() if n.endswith(".segment"))
    broken = bytearray(disk.written[name])
    second = broken.index(b"VGC1", 1)
    broken[second + 20] ^= 1
    disk.replace(name, bytes(broken))
    assert [c.sequence for c in read_all(Spool(disk))] == [1, 3, 4]


def test_delivered_segments_go_and_their_ids_stay_over_a_restart(disk: SimulatedDisk) -> None:
    spool = Spool(disk, segment_bytes=SMALL)
    for number in range(30):
        spool.append([chunk(number)])
    for stored in read_all(spool):
        spool.delivered(stored)
    spool.save_cursor()
    assert len([n for n in disk.names() if n.endswith(".segment")]) == 1
    again = Spool(disk, segment_bytes=SMALL)
    assert again.next_sequence == 31
    assert again.backlog_bytes == 0
    assert all(again.knows(resend_key(chunk(n))) for n in range(30))
    assert not again.knows(b"")


def test_a_chunk_is_known_by_its_id_and_its_content_over_a_restart(disk: SimulatedDisk) -> None:
    Spool(disk).append([chunk(1, b"1"), chunk(2, b"1")])
    again = Spool(disk)
    assert again.chunk_ids == [b"1", b"1"]
    assert all(again.knows(resend_key(chunk(n, b"1"))) for n in (1, 2))
    assert not again.knows(resend_key(chunk(3, b"1")))
    assert not again.knows(resend_key(chunk(1, b"1")._replace(tag="other")))


def test_the_window_of_ids_is_bounded(disk: SimulatedDisk) -> None:
    spool = Spool(disk, window=5)
    spool.append([chunk(n) for n in range(8)])
    assert [spool.knows(resend_key(chunk(n))) for n in range(8)] == [False] * 3 + [True] * 5


def test_a_new_folder_is_durable_with_all_its_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", record)
    Folder(tmp_path / "spool" / "accumulator1").close()
    assert {str(tmp_path), str(tmp_path / "spool")} <= set(synced)
    synced.clear()
    Folder(tmp_path / "spool" / "accumulator1").close()
    assert synced == []


def test_an_emptied_folder_gets_a_new_incarnation(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    first = Spool(folder)
    folder.close()
    for file in tmp_path.iterdir():
        file.unlink()
    folder = Folder(tmp_path)
    second = Spool(folder)
    folder.close()
    assert (first.next_sequence, second.next_sequence) == (1, 1)
    assert first.incarnation != second.incarnation


def test_a_real_folder_holds_chunks_and_one_owner(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    spool = Spool(folder, segment_bytes=SMALL)
    spool.append([chunk(n) for n in range(700)])
    spool.append([chunk(n, length=2_000_000) for n in range(700, 702)])
    with pytest.raises(Unavailable, match="in use"):
        Folder(tmp_path)
    folder.close()
    folder = Folder(tmp_path)
    again = Spool(folder)
    assert [c.body for c in read_all(again)] == [
        *(chunk(n).body for n in range(700)),
        *(chunk(n, length=2_000_000).body for n in range(700, 702)),
    ]
    folder.close()
