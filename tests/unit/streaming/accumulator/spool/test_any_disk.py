"""Whatever the disk does: what was acknowledged comes out unaltered, or is reported as lost, with its count."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from streaming.accumulator.spool.losses import Loss
from streaming.accumulator.spool.segment import Arrived, Stored, Walker, parse_name, resend_key
from streaming.accumulator.spool.spool import Spool
from streaming.accumulator.spool.window import ResendWindow
from tests.support.simulated_disk import SimulatedDisk, Stopped

SMALL = 600
"""Bytes of a segment in these tests: a few chunks."""
Place = tuple[str, int]
"""Incarnation and sequence."""


@dataclass
class World:
    """What the machine knows to be true of one folder."""

    acknowledged: dict[Place, Arrived] = field(default_factory=dict)
    seen: dict[Place, bytes] = field(default_factory=dict)
    """Bodies that came out."""
    damaged: set[Place] = field(default_factory=set)
    """Chunks of which bytes were changed or that are gone by the test's doing."""
    dropped: set[Place] = field(default_factory=set)
    notes_damaged: bool = False
    """Small files were changed: what is lost beside them may be counted too low."""
    touched: bool = False
    """Files were changed or deleted, or the disk was full: chunk ids may be forgotten."""


class AnyDisk(RuleBasedStateMachine):
    """A list stands for the spool; the disk does what it likes."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.disk = SimulatedDisk(seed)
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.incarnations = itertools.count(1)
        self.world = World()
        self.reported: list[Loss] = []
        self.open()

    # ---------------------------------------------------------------------------------------- the process

    def open(self) -> None:
        self.spool = Spool(
            self.disk,
            segment_bytes=SMALL,
            window=ResendWindow(generation_keys=2000),
            report=self.reported.append,
            make_incarnation=lambda: f"{next(self.incarnations):08x}",
            clock=lambda: 0.0,
            wall=lambda: 1000.0,
        )

    def surviving(self, work: Callable[[], object], *, power: bool) -> None:
        """Does something, and if the process ends within it, starts the next one."""
        try:
            work()
        except Stopped:
            self.crash(power=power)

    def crash(self, *, power: bool) -> None:
        if power:
            self.disk.power_loss()
        else:
            self.disk.kill()
        self.open()

    def chunks(self, count: int, length: int) -> list[Arrived]:
        return [
            Arrived("app", b"%08d" % n + self.random.randbytes(length), 1 + n % 5, False, b"id%d" % n, 10**12 + n)
            for n in itertools.islice(self.numbers, count)
        ]

    def try_to_append(self, count: int, length: int) -> bool:
        chunks = self.chunks(count, length)
        first = self.spool.next_sequence
        try:
            self.spool.append(chunks)
        except OSError:
            assert self.spool.next_sequence == first
            assert not any(self.spool.knows(resend_key(c)) for c in chunks)
            return False
        for n, chunk in enumerate(chunks):
            place = (self.spool.incarnation, first + n)
            assert place not in self.world.acknowledged, "a sequence given before"
            assert place not in self.world.seen, "a sequence given before"
            self.world.acknowledged[place] = chunk
            assert self.spool.knows(resend_key(chunk))
        return True

    # --------------------------------------------------------------------------------------------- a life

    @rule(count=st.integers(1, 5), length=st.integers(0, 200))
    def append(self, count: int, length: int) -> None:
        assert self.try_to_append(count, length)

    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        for stored in itertools.islice(iter(self.spool.reader().next, None), count):
            self.spool.delivered(stored)
        self.spool.save_cursor()

    @rule()
    def drop_the_oldest(self) -> None:
        before = {s.sequence for s in self.read() if not s.lost}
        dropped = self.spool.drop_oldest()
        after = {s.sequence for s in self.read() if not s.lost}
        assert dropped or before == after
        self.world.dropped |= {(self.spool.incarnation, s) for s in before - after}

    # ------------------------------------------------------------------------------------------- its ends

    @rule(power=st.booleans())
    def stop_at_rest(self, power: bool) -> None:
        self.crash(power=power)

    @rule(calls=st.integers(0, 8), power=st.booleans())
    def stop_within_an_append(self, calls: int, power: bool) -> None:
        self.disk.stop_after = calls
        self.surviving(partial(self.try_to_append, 3, 150), power=power)
        self.disk.stop_after = None

    @rule(calls=st.integers(0, 8), power=st.booleans())
    def stop_within_a_delivery(self, calls: int, power: bool) -> None:
        self.disk.stop_after = calls
        self.surviving(lambda: self.deliver(8), power=power)
        self.disk.stop_after = None

    @rule(calls=st.integers(0, 6), power=st.booleans())
    def stop_within_a_start(self, calls: int, power: bool) -> None:
        self.crash(power=power)
        self.disk.stop_after = calls
        self.surviving(self.open, power=power)
        self.disk.stop_after = None

    # ------------------------------------------------------------------------------------------ bad disks

    @rule(room=st.integers(0, 300))
    def fill_the_disk_and_free_it(self, room: int) -> None:
        self.world.touched = True
        self.disk.room = sum(map(len, self.disk.written.values())) + room
        self.try_to_append(3, 100)
        self.deliver(5)
        self.try_to_append(1, 10)
        self.disk.room = 10**9

    @rule(room=st.integers(0, 300))
    def stop_on_a_full_disk(self, room: int) -> None:
        self.world.touched = True
        self.disk.room = sum(map(len, self.disk.written.values())) + room
        self.try_to_append(3, 100)
        self.disk.room = 10**9
        self.crash(power=bool(room % 2))

    @rule(appends=st.integers(0, 1), power=st.sampled_from([None, False, True]))
    def fail_a_sync(self, appends: int, power: bool | None) -> None:
        self.disk.fail_next_sync = True
        assert not self.try_to_append(2, 30)
        for _ in range(appends):
            assert self.try_to_append(2, 30)
        if power is not None:
            self.crash(power=power)

    @rule()
    def turn_read_only_for_a_while(self) -> None:
        self.disk.read_only = True
        assert not self.try_to_append(1, 50)
        self.deliver(3)
        self.disk.read_only = False
        assert self.try_to_append(1, 50)

    @precondition(lambda self: any(self.disk.written.values()))
    @rule(which=st.integers(0, 2**32), bit=st.integers(0, 2**32), then=st.sampled_from(["on", "kill", "power"]))
    def flip_a_bit(self, which: int, bit: int, then: str) -> None:
        names = [n for n in self.disk.names() if self.disk.written[n]]
        name = names[which % len(names)]
        self.note_damage(name, (bit // 8) % len(self.disk.written[name]))
        self.disk.flip(name, bit)
        if then != "on":
            self.crash(power=then == "power")

    @precondition(lambda self: len([n for n in self.disk.names() if parse_name(n)]) > 0)
    @rule(which=st.integers(0, 2**32), all_of_them=st.booleans())
    def lose_a_segment(self, which: int, all_of_them: bool) -> None:
        self.disk.kill()
        names = [n for n in self.disk.names() if parse_name(n)]
        for name in names if all_of_them else [names[which % len(names)]]:
            self.note_damage(name, None)
            self.disk.delete(name)
        self.open()

    def note_damage(self, name: str, at: int | None) -> None:
        """A byte of a file is about to be changed, or (None) all of it deleted."""
        self.world.touched = True
        parsed = parse_name(name)
        if parsed is None:
            self.world.notes_damaged = True
            return
        walker = Walker(lambda offset, length: self.disk.read(name, offset, length), self.spool.salt)
        for found in walker.rest(self.disk.size(name)):
            if isinstance(found, Stored) and (at is None or found.end - found.size <= at < found.end):
                self.world.damaged.add((parsed[1], found.sequence))

    # ---------------------------------------------------------------------------------------- what must be

    def read(self) -> list[Stored]:
        """All that is there, without any effect on what may be dropped."""
        read_to = self.spool._read_to
        found = list(iter(self.spool.reader().next, None))
        self.spool._read_to = read_to
        return found

    @rule()
    def everything_acknowledged_comes_out(self) -> None:
        incarnation, begin = self.spool.incarnation, self.spool.delivered_to
        expected = begin
        for stored in self.read():
            if stored.lost:
                assert (stored.lost.first, stored.lost.last) == (expected, stored.sequence)
                self.check_loss(stored.lost)
            else:
                assert stored.sequence == expected
                place = (incarnation, stored.sequence)
                known = self.world.acknowledged.get(place)
                assert known is None or (known.body, known.events, known.chunk_id, known.tag) == (
                    stored.body,
                    stored.events,
                    stored.chunk_id,
                    stored.tag,
                )
                assert self.world.seen.setdefault(place, stored.body) == stored.body
            expected = stored.sequence + 1
        left = {p for p in self.world.acknowledged if p[0] == incarnation and p[1] >= expected}
        assert left <= self.world.damaged | self.world.dropped, "not there, and not told"
        assert expected <= self.spool.next_sequence

    def check_loss(self, loss: Loss) -> None:
        held = {
            place: chunk.events
            for place, chunk in self.world.acknowledged.items()
            if place[0] == loss.incarnation and loss.first <= place[1] <= loss.last
        }
        assert set(held) <= self.world.damaged | self.world.dropped, "told as lost, and was not touched"
        if loss.events is not None and loss.kind != "in-doubt" and len(held) == loss.last - loss.first + 1:
            events = sum(held.values())
            assert loss.events == events or (self.world.notes_damaged and loss.events < events)
        assert any(r.first <= loss.last and r.last >= loss.first for r in self.reported), "not reported"

    @rule()
    def the_backlog_is_what_is_left(self) -> None:
        found = self.read()
        for stored in found:
            self.spool.delivered(stored)
        assert (self.spool.backlog_bytes, self.spool.waiting_bytes) == (0, 0)
        assert self.spool.delivered_to == (found[-1].sequence + 1 if found else self.spool.delivered_to)

    @rule()
    def resends_are_known(self) -> None:
        if not self.world.touched:
            assert all(self.spool.knows(resend_key(chunk)) for chunk in self.world.acknowledged.values())

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.everything_acknowledged_comes_out()
            self.the_backlog_is_what_is_left()


def run(examples: int, steps: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(
        AnyDisk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_what_was_acknowledged_comes_out_or_is_told() -> None:
    run(250, 25, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_comes_out_or_is_told_for_longer() -> None:
    run(6000, 60, derandomize=False)


def test_a_loss_is_told_though_the_process_ends_while_it_is_written_down() -> None:
    disk = AnyDisk()
    disk.start(seed=1)
    disk.append(count=1, length=50)
    disk.flip_a_bit(which=0, bit=0, then="on")
    disk.stop_within_a_delivery(calls=0, power=False)
    disk.teardown()


def test_what_is_dropped_behind_a_drop_is_counted_by_itself_after_a_restart() -> None:
    disk = AnyDisk()
    disk.start(seed=0)
    for _ in range(2):
        disk.append(count=2, length=10)
        disk.stop_at_rest(power=False)
        disk.drop_the_oldest()
    disk.teardown()
    assert [(loss.first, loss.last, loss.events) for loss in disk.reported] == [(1, 2, 3), (3, 4, 7)]
