"""The spool: what was acknowledged comes out, in order, under the same sequence, whatever the disk does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from streaming.accumulator.spool import segment
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.losses import Loss
from streaming.accumulator.spool.segment import Arrived, Stored, resend_key
from streaming.accumulator.spool.spool import Spool
from streaming.errors import Unavailable
from tests.support.simulated_disk import SimulatedDisk

SMALL = 600
"""Bytes of a segment in these tests: a few chunks."""


@pytest.fixture
def disk() -> SimulatedDisk:
    """An empty simulated disk."""
    return SimulatedDisk()


def chunk(number: int, chunk_id: bytes | None = None, length: int = 50) -> Arrived:
    return Arrived("app", b"%08d" % number + b"x" * length, 3, False, chunk_id or b"id%d" % number, 1_000 + number)


def read_all(spool: Spool) -> list[Stored]:
    return list(iter(spool.reader().next, None))


def segments(disk: SimulatedDisk) -> list[str]:
    return [n for n in disk.names() if n.endswith(".segment")]


def break_body(disk: SimulatedDisk, number: int) -> None:
    """Flips a bit of the body of `chunk(number)`."""
    for name in segments(disk):
        at = disk.written[name].find(b"%08d" % number)
        if at >= 0:
            disk.flip(name, 8 * (at + 3))


def test_damage_costs_its_chunk_alone_and_is_counted(disk: SimulatedDisk) -> None:
    spool = Spool(disk, segment_bytes=10**6)
    spool.append([chunk(n) for n in range(10)])
    break_body(disk, 4)
    name = segments(disk)[0]
    reported: list[Loss] = []
    again = Spool(disk, segment_bytes=10**6, report=reported.append)
    found = read_all(again)
    assert [(c.sequence, c.lost is None) for c in found] == [(n, n != 5) for n in range(1, 11)]
    assert reported == [Loss("damaged", spool.incarnation, 5, 5, 3)]
    assert found[4].lost == reported[0]
    assert (again.next_sequence, again.incarnation) == (11, spool.incarnation)

    again.append([chunk(10)])
    for stored in read_all(again):
        again.delivered(stored)
    again.save_cursor()
    third = Spool(disk, segment_bytes=1, report=reported.append)
    third.append([chunk(11)])
    for stored in read_all(third):
        third.delivered(stored)
    assert f"{name}.damaged" in disk.names(), "kept for a look"
    assert len(reported) == 1, "told once"


def test_a_damaged_header_is_counted_by_its_neighbours(disk: SimulatedDisk) -> None:
    Spool(disk).append([chunk(n) for n in range(5)])
    name = segments(disk)[0]
    for n in (2, 3):
        at = [i for i in range(len(disk.written[name])) if disk.written[name].startswith(b"VGC2", i)][n]
        disk.flip(name, 8 * (at + 20))
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    assert [c.sequence for c in read_all(again) if not c.lost] == [1, 2, 5]
    assert [(r.kind, r.first, r.last, r.events) for r in reported] == [("damaged", 3, 4, 6)]


def test_damage_at_the_very_end_is_no_torn_tail(disk: SimulatedDisk) -> None:
    spool = Spool(disk)
    spool.append([chunk(1), chunk(2)])
    break_body(disk, 2)
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    assert [(r.kind, r.first, r.last, r.events) for r in reported] == [("damaged", 2, 2, 3)]
    again.append([chunk(3)])
    assert [(c.sequence, bool(c.lost)) for c in read_all(again)] == [(1, False), (2, True), (3, False)]


def test_a_torn_tail_of_a_killed_process_leaves_no_gap(disk: SimulatedDisk) -> None:
    spool = Spool(disk)
    spool.append([chunk(1)])
    disk.append(segments(disk)[0], [b"VGC2 half a header"])
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    again.append([chunk(2)])
    assert [(c.sequence, c.body) for c in read_all(again)] == [(1, chunk(1).body), (2, chunk(2).body)]
    assert reported == []


def test_what_a_power_loss_tore_is_told_as_in_doubt_and_its_sequence_not_given_again(disk: SimulatedDisk) -> None:
    spool = Spool(disk)
    spool.append([chunk(1)])
    name = segments(disk)[0]
    disk.append(name, [b"VGC2" + bytes(100)])
    disk.sync(name)
    disk.power_loss()
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    (loss,) = reported
    assert (loss.kind, loss.first, loss.events) == ("in-doubt", 2, 0)
    assert again.next_sequence == loss.last + 1
    again.append([chunk(2)])
    assert [c.body for c in read_all(again) if not c.lost] == [chunk(1).body, chunk(2).body]


@pytest.mark.parametrize("power", [False, True])
def test_a_lost_last_segment_does_not_give_its_sequences_again(disk: SimulatedDisk, power: bool) -> None:
    spool = Spool(disk, segment_bytes=1)
    for n in range(1, 4):
        spool.append([chunk(n)])
    disk.delete(segments(disk)[-1])
    if power:
        disk.sync_names()
        for name in ("synced", "cursor"):
            disk.sync(name)
        disk.power_loss()
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    assert (reported[0].kind, reported[0].first, reported[0].events) == ("damaged", 3, 3)
    assert again.incarnation == spool.incarnation
    assert again.next_sequence > 3
    again.append([chunk(9)])
    assert [c.body for c in read_all(again) if not c.lost] == [chunk(n).body for n in (1, 2, 9)]


def test_losing_all_segments_begins_a_new_incarnation_and_tells_of_the_old(disk: SimulatedDisk) -> None:
    spool = Spool(disk, segment_bytes=1)
    for n in range(1, 4):
        spool.append([chunk(n)])
    spool.delivered(read_all(spool)[0])
    spool.save_cursor()
    for name in segments(disk):
        disk.delete(name)
    reported: list[Loss] = []
    again = Spool(disk, report=reported.append)
    assert (again.incarnation != spool.incarnation, again.next_sequence) == (True, 1)
    assert reported == [Loss("damaged", spool.incarnation, 2, 3, 6)]


def test_after_a_failed_sync_its_file_is_not_written_to_again(disk: SimulatedDisk) -> None:
    spool = Spool(disk)
    spool.append([chunk(1)])
    disk.fail_next_sync = True
    with pytest.raises(OSError, match="Input/output"):
        spool.append([chunk(2)])
    spool.append([chunk(3)])
    assert len(segments(disk)) == 2
    disk.power_loss()
    assert [(c.sequence, c.body) for c in read_all(Spool(disk))] == [(1, chunk(1).body), (2, chunk(3).body)]


def test_a_chunk_within_a_chunk_never_passes_for_one(disk: SimulatedDisk) -> None:
    """Not even where the header before it is damaged: whoever sent it does not know the salt."""
    inner = b"".join(segment.encode(segment.checked(chunk(66)), 99, 0, segment.salt_of("guessed")))
    spool = Spool(disk)
    spool.append([chunk(1)._replace(body=inner), chunk(2)])
    name = segments(disk)[0]
    disk.flip(name, 8 * 20)
    assert [(c.sequence, bool(c.lost)) for c in read_all(Spool(disk))] == [(1, True), (2, False)]


def test_the_oldest_segments_are_dropped_but_not_what_was_read(disk: SimulatedDisk) -> None:
    reported: list[Loss] = []
    spool = Spool(disk, segment_bytes=1, report=reported.append)
    for n in range(4):
        spool.append([chunk(n)])
    reader = spool.reader()
    first = reader.next()
    assert first is not None
    assert [spool.drop_oldest() for _ in range(4)] == [True, True, True, False]
    assert [(r.kind, r.first, r.last, r.events) for r in reported] == [("dropped", n, n, 3) for n in (2, 3, 4)]
    spool.append([chunk(5)])
    found = [first, *iter(reader.next, None)]
    assert [(c.sequence, c.lost.kind if c.lost else "") for c in found] == [
        (1, ""),
        *((n, "dropped") for n in (2, 3, 4)),
        (5, ""),
    ]
    assert [(c.sequence, bool(c.lost)) for c in read_all(Spool(disk, report=reported.append))] == [
        (n, n in (2, 3, 4)) for n in range(1, 6)
    ]
    assert len(reported) == 3
    for stored in found:
        spool.delivered(stored)
    assert spool.backlog_bytes == 0


def test_a_place_that_cannot_be_read_is_given_up_after_a_minute_of_trying(tmp_path: Path) -> None:
    class BadBlock(Folder):
        bad = False

        def read(self, name: str, offset: int, length: int) -> bytes:
            if self.bad and name.endswith(".segment") and offset <= 8200 < offset + length:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(name, offset, length)

    now = [0.0]
    folder = BadBlock(tmp_path)
    spool = Spool(folder, clock=lambda: now[0])
    spool.append([chunk(n, length=1000) for n in range(20)])
    folder.bad = True
    reader = spool.reader()
    with pytest.raises(OSError, match="Input/output"):
        reader.next()
    now[0] = 61.0
    found = list(iter(reader.next, None))
    lost = [c.lost for c in found if c.lost]
    assert [(loss.kind, loss.last - loss.first + 1, loss.events) for loss in lost] == [("damaged", 5, 15)]
    assert len(found) - len(lost) == 15
    folder.close()


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
    assert all(again.knows(resend_key(chunk(n, b"1"))) for n in (1, 2))
    assert not again.knows(resend_key(chunk(3, b"1")))
    assert not again.knows(resend_key(chunk(1, b"1")._replace(tag="other")))


def test_the_ids_of_followed_files_are_kept_as_they_are(disk: SimulatedDisk) -> None:
    spool = Spool(disk)
    spool.append([chunk(1, b"tail-1"), chunk(2, b"other"), chunk(3, b"tail-2")])
    assert spool.chunk_ids == Spool(disk).chunk_ids == [b"tail-1", b"tail-2"]


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
