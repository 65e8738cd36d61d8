from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microservices.client.buffer import Buffer

puts = st.tuples(st.binary(min_size=1, max_size=30), st.sampled_from(["INFO", "WARN", "ERROR", "FATAL"]))


@given(st.lists(st.one_of(puts, st.integers(1, 5)), max_size=60))
def test_what_is_put_is_taken_in_order_or_counted(steps: list[tuple[bytes, str] | int]) -> None:
    buffer = Buffer(100)
    kept: list[bytes] = []
    taken: list[bytes] = []
    dropped = 0
    for now, step in enumerate(steps, 1):
        if isinstance(step, int):
            taken += buffer.take(step, 40)
        elif buffer.put(step[0], step[1], now):
            kept.append(step[0])
        else:
            dropped += 1
        assert sum(map(len, kept[len(taken) :])) <= 100
        assert buffer.waiting == len(kept), "taken is not settled"
    drops = buffer.take_drops()
    assert (drops.total if drops else 0) == dropped
    taken += buffer.take(1000, 1000)
    assert taken == kept
    buffer.settle(len(taken))
    assert buffer.waiting == 0


def test_the_last_tenth_is_kept_for_what_matters() -> None:
    buffer = Buffer(100)
    assert [buffer.put(b"x" * 10, "INFO", n) for n in range(11)] == [True] * 9 + [False] * 2
    assert buffer.put(b"x" * 10, "ERROR", 11)
    assert not buffer.put(b"x", "FATAL", 12)
    drops = buffer.take_drops()
    assert drops is not None
    assert (drops.by_level, drops.first_ns, drops.last_ns) == ({"INFO": 2, "FATAL": 1}, 9, 12)
    assert buffer.take_drops() is None


def test_a_report_always_fits() -> None:
    buffer = Buffer(10)
    buffer.put_anyway(b"x" * 50)
    assert buffer.take(10, 10) == [b"x" * 50], "at least one entry, whatever its size"
