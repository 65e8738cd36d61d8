"""The window of resend keys: bounded by time and by number, and the same after a restart."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.spool.window import GENERATION_KEYS, GENERATIONS, ResendWindow
from tests.support.simulated_disk import SimulatedDisk


def key(number: int) -> bytes:
    return number.to_bytes(16)


def test_keys_are_known_for_the_window_and_not_for_much_longer() -> None:
    window = ResendWindow(window_s=600.0)
    for second in range(2000):
        window.add([key(second)], float(second))
    assert all(key(n) in window for n in range(1400, 2000))
    assert not any(key(n) in window for n in range(1200))


def test_it_holds_no_more_keys_than_fit() -> None:
    window = ResendWindow(generation_keys=10, generations=4)
    window.add(map(key, range(1000)), 0.0)
    assert len(window) <= 40
    assert all(key(n) in window for n in range(970, 1000))
    assert GENERATIONS * GENERATION_KEYS * 130 < 35e6, "the process has 150 MB"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 100)), max_size=25))
def test_what_was_saved_is_known_after_a_restart(steps: list[tuple[int, int]]) -> None:
    disk, numbers, now = SimulatedDisk(), 0, 0
    window = ResendWindow(window_s=300.0, generation_keys=20, generations=5)
    for count, seconds in steps:
        now += seconds
        window.add(map(key, range(numbers, numbers + count)), float(now))
        numbers += count
        window.save(disk)
        again = ResendWindow(window_s=300.0, generation_keys=20, generations=5)
        again.load(disk, float(now))
        kept = [n for n in range(numbers) if key(n) in window]
        assert len(kept) >= min(numbers, 0 if seconds else count)
        missing = [n for n in kept if key(n) not in again]
        assert len(missing) <= 20, "one generation makes room for the new process's own"
        assert len(disk.names()) <= 6


def test_a_damaged_file_costs_its_own_keys_alone() -> None:
    disk = SimulatedDisk()
    window = ResendWindow(generation_keys=10)
    window.add(map(key, range(30)), 0.0)
    window.save(disk)
    disk.flip(disk.names()[1], 100)
    again = ResendWindow(generation_keys=10)
    again.load(disk, 0.0)
    assert [n for n in range(30) if key(n) not in again] == list(range(10, 20))
    again.save(disk)
    third = ResendWindow(generation_keys=10)
    third.load(disk, 0.0)
    assert len(third) == 20
