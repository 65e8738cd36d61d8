"""Group commit: many wait, one fsync serves; resends are answered and not spooled again."""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.accumulator.admission.room import Limit, Overflow
from streaming.accumulator.spool.commit import HANGS_AFTER_S, SETTLED_AFTER_S, Committer
from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.segment import Arrived
from streaming.accumulator.spool.spool import Spool
from streaming.worker.health import Health

WITHIN_S = 10.0
PLENTY = Limit(10**9, "block")


class GatedFolder(Folder):
    """A folder whose sync waits, or fails, when told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.error: OSError | None = None
        self.syncs = 0

    def sync(self, name: str) -> None:
        self.entered.release()
        assert self.gate.wait(WITHIN_S)
        self.syncs += 1
        if self.error:
            raise self.error
        super().sync(name)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[GatedFolder]:
    made = GatedFolder(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def health() -> Health:
    return Health("accumulator1", "spool")


@pytest.fixture
def spool(folder: GatedFolder) -> Spool:
    return Spool(folder)


@pytest.fixture
def committer(spool: Spool, health: Health) -> Iterator[Committer]:
    made = Committer(spool, "accumulator1", SpoolCondition("accumulator1", health), PLENTY)
    yield made
    made.close()


def chunk(number: int, chunk_id: bytes = b"") -> Arrived:
    return Arrived("app", b"%d" % number, 1, False, chunk_id, number)


def test_one_sync_serves_all_that_wait(committer: Committer, spool: Spool, folder: GatedFolder) -> None:
    done: queue.Queue[bool] = queue.Queue()
    committer.submit(chunk(0), done.put)
    assert done.get(timeout=WITHIN_S)  # the first one makes the segment, too
    while folder.entered.acquire(blocking=False):
        pass
    folder.syncs = 0
    folder.gate.clear()
    committer.submit(chunk(0), done.put)
    assert folder.entered.acquire(timeout=WITHIN_S)
    for number in range(1, 50):
        committer.submit(chunk(number), done.put)
    assert done.empty()
    folder.gate.set()
    assert all(done.get(timeout=WITHIN_S) for _ in range(50))
    assert folder.syncs == 2
    assert spool.next_sequence == 52


def test_a_flow_of_several_tags_stays_in_order(committer: Committer, spool: Spool, folder: GatedFolder) -> None:
    done: queue.Queue[bool] = queue.Queue()
    folder.gate.clear()
    committer.submit(chunk(0), done.put)
    assert folder.entered.acquire(timeout=WITHIN_S)
    for number in range(1, 7):
        committer.submit(chunk(number)._replace(tag=f"sys.{number % 2}", flow="sys"), done.put)
    folder.gate.set()
    assert all(done.get(timeout=WITHIN_S) for _ in range(7))
    reader = spool.reader()
    stored = [reader.next() for _ in range(7)]
    assert [found and found.body for found in stored] == [b"%d" % number for number in range(7)]


def test_a_resend_is_answered_and_not_spooled_again(committer: Committer, spool: Spool, folder: GatedFolder) -> None:
    done: queue.Queue[bool] = queue.Queue()
    folder.gate.clear()
    committer.submit(chunk(1, b"same"), done.put)
    committer.submit(chunk(1, b"same"), done.put)
    folder.gate.set()
    assert [done.get(timeout=WITHIN_S) for _ in range(2)] == [True, True]
    committer.submit(chunk(1, b"same"), done.put)
    assert done.get(timeout=WITHIN_S)
    assert spool.next_sequence == 2


@pytest.mark.parametrize("gap", [False, True])
def test_another_chunk_under_the_same_id_is_no_resend(
    committer: Committer, spool: Spool, folder: GatedFolder, gap: bool
) -> None:
    """Of a sender that counts from 1 at each start, or of two that count side by side."""
    done: queue.Queue[bool] = queue.Queue()
    if not gap:
        folder.gate.clear()
    committer.submit(chunk(1, b"1"), done.put)
    if gap:
        assert done.get(timeout=WITHIN_S)
        done.put(True)
    committer.submit(chunk(2, b"1"), done.put)
    committer.submit(chunk(2, b"1")._replace(tag="other"), done.put)
    committer.submit(chunk(1, b"1"), done.put)
    folder.gate.set()
    assert [done.get(timeout=WITHIN_S) for _ in range(4)] == [True] * 4
    assert [(c.tag, c.body) for c in iter(spool.reader().next, None)] == [("app", b"1"), ("app", b"2"), ("other", b"2")]


def test_a_failing_disk_refuses_and_recovers_by_itself(
    committer: Committer, spool: Spool, folder: GatedFolder, health: Health
) -> None:
    done: queue.Queue[bool] = queue.Queue()
    folder.error = OSError(errno.ENOSPC, "No space left on device")
    committer.submit(chunk(1, b"a"), done.put)
    assert done.get(timeout=WITHIN_S) is False
    check = health.answer()["checks"]["spool"]
    assert not check["ok"]
    assert "No space left" in check["detail"]
    folder.error = None
    committer.submit(chunk(1, b"a"), done.put)
    assert done.get(timeout=WITHIN_S) is True
    assert health.answer()["checks"]["spool"]["ok"]
    reader = spool.reader()
    assert [c.body for c in iter(reader.next, None)] == [b"1"]


def test_after_closing_everything_is_refused(spool: Spool, health: Health) -> None:
    committer = Committer(spool, "accumulator1", SpoolCondition("accumulator1", health), PLENTY)
    done: queue.Queue[bool] = queue.Queue()
    committer.submit(chunk(1), done.put)
    committer.close()
    committer.submit(chunk(2), done.put)
    assert [done.get(timeout=WITHIN_S) for _ in range(2)] == [True, False]


def small(spool: Spool, health: Health, overflow: Overflow, limit: int = 2000) -> Committer:
    return Committer(spool, "accumulator1", SpoolCondition("accumulator1", health), Limit(limit, overflow))


def test_a_full_spool_blocks_until_there_is_room(spool: Spool, health: Health) -> None:
    committer = small(spool, health, "block", 1000)
    done: queue.Queue[bool] = queue.Queue()
    for number in range(2):
        committer.submit(chunk(number)._replace(tag=str(number), body=b"x" * 450), done.put)
        assert done.get(timeout=WITHIN_S) is True
    committer.submit(chunk(3)._replace(body=b"x" * 450), done.put)
    committer.look()
    assert not committer.has_room()
    assert "full (1000 bytes): senders wait" in health.answer()["checks"]["spool"]["detail"]
    assert done.empty()
    for stored in iter(spool.reader().next, None):
        spool.delivered(stored)
    assert done.get(timeout=WITHIN_S) is True
    committer.look()
    assert committer.has_room()
    assert health.answer()["checks"]["spool"]["ok"]
    committer.close()


def test_a_full_spool_refuses_at_once_if_told_to(spool: Spool, health: Health) -> None:
    committer = small(spool, health, "throw_exception", 1000)
    done: queue.Queue[bool] = queue.Queue()
    for number in range(2):
        committer.submit(chunk(number)._replace(tag=str(number), body=b"x" * 450), done.put)
        assert done.get(timeout=WITHIN_S) is True
    assert committer.has_room(), "what comes is read, to be refused"
    committer.submit(chunk(3, b"again")._replace(body=b"x" * 450), done.put)
    assert done.get(timeout=WITHIN_S) is False
    committer.look()
    assert "senders are refused" in health.answer()["checks"]["spool"]["detail"]
    for stored in iter(spool.reader().next, None):
        spool.delivered(stored)
    committer.submit(chunk(3, b"again")._replace(body=b"x" * 450), done.put)
    assert done.get(timeout=WITHIN_S) is True
    committer.close()


def test_a_full_spool_drops_the_oldest_if_told_to_and_says_so(folder: GatedFolder, health: Health) -> None:
    condition = SpoolCondition("accumulator1", health)
    spool = Spool(folder, segment_bytes=400, report=condition.lost)
    committer = Committer(spool, "accumulator1", condition, Limit(2000, "drop_oldest_chunk"))
    done: queue.Queue[bool] = queue.Queue()
    for number in range(20):
        committer.submit(chunk(number)._replace(body=b"%300d" % number), done.put)
        assert done.get(timeout=WITHIN_S) is True
    committer.close()
    assert spool.backlog_bytes <= 2000
    found = list(iter(spool.reader().next, None))
    lost = sum(c.lost.events or 0 for c in found if c.lost)
    kept = [int(c.body) for c in found if not c.lost]
    assert lost + len(kept) == 20
    assert kept == list(range(20 - len(kept), 20))
    assert f"{lost} dropped events lost" in health.answer()["checks"]["spool"]["detail"]
    assert health.answer()["checks"]["spool"]["ok"]


def test_after_a_failed_write_all_that_waits_is_refused(spool: Spool, folder: GatedFolder, health: Health) -> None:
    """Otherwise what waited behind it would be spooled before it, and a node's events would change order."""
    committer = Committer(spool, "accumulator1", SpoolCondition("accumulator1", health), PLENTY)
    done: queue.Queue[bool] = queue.Queue()
    folder.gate.clear()
    folder.error = OSError(errno.EIO, "Input/output error")
    committer.submit(chunk(1, b"a"), done.put)
    assert folder.entered.acquire(timeout=WITHIN_S)
    committer.submit(chunk(2, b"b"), done.put)
    folder.gate.set()
    assert [done.get(timeout=WITHIN_S) for _ in range(2)] == [False, False]
    folder.error = None
    committer.submit(chunk(1, b"a"), done.put)
    committer.submit(chunk(2, b"b"), done.put)
    assert [done.get(timeout=WITHIN_S) for _ in range(2)] == [True, True]
    committer.close()
    assert [c.body for c in iter(spool.reader().next, None)] == [b"1", b"2"]


class Clock:
    """Stands still but where it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(spool: Spool, health: Health, clock: Clock) -> Iterator[Committer]:
    made = Committer(spool, "accumulator1", SpoolCondition("accumulator1", health), Limit(1000, "block"), 0.0, clock)
    yield made
    made.close()


def settled(committer: Committer, clock: Clock) -> None:
    """It says how far it takes in again, but not at once."""
    before = committer.accepted_to_ns(8)
    assert before < 8
    clock.now += SETTLED_AFTER_S - 0.5
    assert committer.accepted_to_ns(9) == before, "senders are about to send again"
    clock.now += 1.0
    assert committer.accepted_to_ns(10) == 10


def test_a_disk_that_fails_takes_nothing_in(timed: Committer, folder: GatedFolder, clock: Clock) -> None:
    done: queue.Queue[bool] = queue.Queue()
    assert timed.accepted_to_ns(1) == 1
    folder.error = OSError(errno.ENOSPC, "No space left on device")
    timed.submit(chunk(1), done.put)
    assert done.get(timeout=WITHIN_S) is False
    for later in (2, 3, 4):
        clock.now += 60.0
        assert timed.accepted_to_ns(later) == 1
    folder.error = None
    timed.submit(chunk(1), done.put)
    assert done.get(timeout=WITHIN_S) is True
    settled(timed, clock)


def test_a_disk_that_hangs_takes_nothing_in(timed: Committer, folder: GatedFolder, clock: Clock) -> None:
    done: queue.Queue[bool] = queue.Queue()
    folder.gate.clear()
    timed.submit(chunk(1), done.put)
    assert folder.entered.acquire(timeout=WITHIN_S)
    assert timed.accepted_to_ns(1) == 1, "commits take a while"
    clock.now += HANGS_AFTER_S + 0.5
    assert timed.accepted_to_ns(2) == 1
    folder.gate.set()
    assert done.get(timeout=WITHIN_S) is True
    settled(timed, clock)


def test_a_full_spool_takes_nothing_in(timed: Committer, spool: Spool, clock: Clock) -> None:
    done: queue.Queue[bool] = queue.Queue()
    for number in range(2):
        timed.submit(chunk(number)._replace(tag=str(number), body=b"x" * 450), done.put)
        assert done.get(timeout=WITHIN_S) is True
    assert timed.accepted_to_ns(1) == 1
    timed.look()
    clock.now += 60.0
    assert timed.accepted_to_ns(2) == 1
    for stored in iter(spool.reader().next, None):
        spool.delivered(stored)
    timed.look()
    settled(timed, clock)
