"""The window of bulk requests against servers that are played, on a clock that is played."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.indexer.pace import (
    FIRST_WINDOW,
    LARGEST_WINDOW,
    MIB,
    MOST_IN_FLIGHT,
    SLOW_S,
    SMALLEST_WINDOW,
    STEP,
    Pace,
)


@dataclass
class PlayedServer:
    """Takes `bytes_per_s`; refuses what would make more than `room` bytes under way."""

    bytes_per_s: float
    room: float
    pace: Pace = field(default_factory=Pace)
    now: float = 0.0
    taken: int = 0
    refused: int = 0
    _busy_until: float = 0.0
    _under_way: list[tuple[float, float, int, bool]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """There is always more to send."""
        end = self.now + seconds
        while self.now < end:
            while self.pace.may_send(self.now, len(self._under_way)):
                self._send(self.pace.request_bytes)
            if not self._under_way:
                self.now = max(self.now + 0.001, self.pace.held_until)
                continue
            done, sent, size, accepted = heapq.heappop(self._under_way)
            self.now = max(self.now, done)
            if accepted:
                self.taken += size
                self.pace.taken(size, done - sent, full=True)
            else:
                self.refused += 1
                self.pace.refused(sent, self.now)

    def _send(self, size: int) -> None:
        load = sum(size for _, _, size, accepted in self._under_way if accepted)
        if load + size > self.room:
            heapq.heappush(self._under_way, (self.now + 0.001, self.now, size, False))
            return
        self._busy_until = max(self._busy_until, self.now) + size / self.bytes_per_s
        heapq.heappush(self._under_way, (self._busy_until, self.now, size, True))


def test_a_server_with_room_is_used_to_the_full() -> None:
    server = PlayedServer(bytes_per_s=40 * MIB, room=1 << 40)
    server.run(60)
    assert server.pace.in_flight == MOST_IN_FLIGHT
    assert server.refused == 0
    assert server.taken > 0.99 * 60 * 40 * MIB


@pytest.mark.parametrize("room_mib", [0.5, 3, 10])
def test_it_finds_the_room_that_there_is_and_keeps_the_server_busy(room_mib: float) -> None:
    server = PlayedServer(bytes_per_s=20 * MIB, room=room_mib * MIB)
    server.run(20)
    server.taken = server.refused = 0
    server.run(60)
    assert server.taken > 0.8 * 60 * 20 * MIB
    assert server.refused < server.taken / (room_mib * MIB / 8)


def test_it_backs_off_and_comes_back() -> None:
    server = PlayedServer(bytes_per_s=20 * MIB, room=64 * MIB)
    server.run(5)
    server.room = 100 * 1024
    server.run(5)
    assert server.pace.window < 4 * SMALLEST_WINDOW
    server.room = 64 * MIB
    server.run(30)
    assert server.pace.window > FIRST_WINDOW


def test_requests_that_were_under_way_together_halve_the_window_once() -> None:
    pace = Pace()
    assert pace.refused(sent_at=1.0, now=2.0)
    assert not pace.refused(sent_at=1.5, now=2.1)
    assert pace.window == FIRST_WINDOW / 2
    assert pace.refused(sent_at=2.5, now=2.6)
    assert pace.window == FIRST_WINDOW / 4


def test_it_grows_by_a_step_for_each_window_and_only_when_that_was_needed() -> None:
    pace = Pace()
    pace.taken(MIB, 0.1, full=False)
    pace.taken(MIB, SLOW_S + 0.1, full=True)
    assert pace.window == FIRST_WINDOW
    for _ in range(8):
        pace.taken(FIRST_WINDOW // 8, 0.1, full=True)
    assert pace.window == pytest.approx(FIRST_WINDOW + STEP, rel=0.05)


def test_what_the_server_asks_for_is_kept() -> None:
    pace = Pace()
    pace.refused(sent_at=9.0, now=10.0, retry_after_s=7.0)
    assert not pace.may_send(16.9, 0)
    assert pace.may_send(17.0, 0)
    pace.refused(sent_at=18.0, now=18.0, retry_after_s=86_400.0)
    assert pace.may_send(18.0 + 60.0, 0)


def test_too_large_is_about_the_request_and_not_about_the_load() -> None:
    pace = Pace()
    pace.too_large(MIB)
    assert pace.request_bytes == MIB // 2
    assert pace.window == FIRST_WINDOW
    pace.too_large(3 * MIB)  # was under way before that was known
    assert pace.request_bytes == MIB // 2


@given(st.lists(st.tuples(st.sampled_from(["taken", "refused", "large"]), st.integers(1, 1 << 25)), max_size=60))
def test_whatever_comes_something_may_be_sent(events: list[tuple[str, int]]) -> None:
    pace = Pace()
    for now, (event, size) in enumerate(events):
        if event == "taken":
            pace.taken(size, 0.1, full=True)
        elif event == "refused":
            pace.refused(now, now + 0.5)
        else:
            pace.too_large(size)
        assert SMALLEST_WINDOW <= pace.window <= LARGEST_WINDOW
        assert 1 <= pace.in_flight <= MOST_IN_FLIGHT
        assert pace.request_bytes >= 1
        assert pace.may_send(now, 0)
