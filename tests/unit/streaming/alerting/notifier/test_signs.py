"""When a sign of life is sent: on its schedule, and only while alerts would be delivered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.notifier.signs import FRESH_S, Advance, Signs
from streaming.alerting.rules.routes import DeadMan

MINUTE = DeadMan(receiver="switch", every=60)


def test_it_is_sent_on_its_schedule_and_as_soon_as_it_can_where_it_could_not() -> None:
    signs = Signs()
    sent = [at for at in range(0, 600, 5) if signs.due(MINUTE, not 100 <= at < 215, float(at))]
    assert sent == [0, 60, 215, 275, 335, 395, 455, 515, 575]


def test_another_schedule_begins_at_once() -> None:
    signs = Signs()
    assert signs.due(DeadMan(receiver="switch", every=3600), True, 0.0)
    assert not signs.due(DeadMan(receiver="switch", every=3600), True, 10.0)
    assert signs.due(DeadMan(receiver="switch", every=10), True, 11.0)
    assert not signs.due(DeadMan(receiver="switch", every=10), True, 12.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 200), st.booleans()), max_size=60))
def test_never_more_often_than_asked_nor_while_the_path_stands_still(steps: list[tuple[float, bool]]) -> None:
    signs, now, sent = Signs(), 0.0, list[float]()
    for step, is_current in steps:
        now += step
        if signs.due(MINUTE, is_current, now):
            assert is_current
            assert not sent or now - sent[-1] > 59.999
            sent.append(now)
        else:
            assert not is_current or (sent and now - sent[-1] < 60.001)


def test_the_manager_is_current_while_its_offset_moves() -> None:
    advance = Advance()
    assert "not been seen" in advance.trouble(0.0)
    advance.saw(100, 0.0)
    assert advance.trouble(0.0), "that it was there says nothing of now"
    advance.saw(101, 2.0)
    assert advance.trouble(2.0) == ""
    advance.saw(101, 4.0)
    assert advance.trouble(2.0 + FRESH_S) == ""
    assert "has not moved for" in advance.trouble(3.0 + FRESH_S)
    # The topic was made anew.
    advance.saw(5, 60.0)
    assert advance.trouble(60.0)
    advance.saw(6, 62.0)
    assert advance.trouble(62.0) == ""
