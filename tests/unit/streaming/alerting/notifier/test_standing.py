"""How a receiver stands after what it did, on a simulated clock."""

from __future__ import annotations

from streaming.alerting.notifier.standing import UNHEALTHY_AFTER, Standing
from streaming.alerting.receivers.base import Undelivered

AWAY = Undelivered("unreachable")
BAD = Undelivered("invalid_auth", misconfigured=True)


def test_it_falls_once_it_failed_for_long_with_nothing_delivered_between() -> None:
    stands = Standing(patience_s=300.0)
    assert not stands.failed(AWAY, 0.0)
    assert not stands.failed(AWAY, 299.0)
    assert stands.failed(AWAY, 300.0)
    assert not stands.failed(AWAY, 330.0), "it has fallen already"
    assert stands.has_fallen
    assert stands.delivered()
    assert not stands.failed(AWAY, 1000.0)
    assert not stands.delivered()
    assert not stands.failed(AWAY, 1290.0)
    assert not stands.failed(AWAY, 1589.0)
    assert stands.failed(AWAY, 1590.0)


def test_it_falls_also_while_it_asks_to_be_left_alone() -> None:
    stands = Standing(patience_s=300.0)
    assert not stands.waited(0.0)
    assert not stands.failed(Undelivered("ratelimited", wait_s=3600), 0.0)
    assert [stands.waited(at) for at in (299.0, 300.0, 301.0)] == [False, True, False]


def test_it_falls_at_once_where_only_a_person_can_mend_it() -> None:
    assert Standing(patience_s=300.0).failed(BAD, 0.0)


def test_keeping_to_its_own_rate_is_no_failure_but_being_limited_for_long_is() -> None:
    stands = Standing(patience_s=300.0)
    for at in range(0, 1000, 10):
        assert not stands.failed(Undelivered("paced", wait_s=10), float(at))
    assert stands.not_before == 1000.0
    limited = Undelivered("ratelimited", wait_s=60)
    assert [stands.failed(limited, 1000.0 + 60 * n) for n in range(7)] == [False] * 5 + [True, False]


def test_waits_double_until_something_arrives() -> None:
    stands, waits = Standing(patience_s=3600.0), []
    for _ in range(7):
        stands.failed(AWAY, 0.0)
        waits.append(stands.not_before)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    stands.delivered()
    assert stands.not_before == 0.0
    stands.failed(AWAY, 100.0)
    assert stands.not_before == 101.0


def test_health_tells_of_what_lasts() -> None:
    stands = Standing(patience_s=3600.0)
    ill = []
    for _ in range(UNHEALTHY_AFTER):
        stands.failed(AWAY, 0.0)
        ill.append(stands.is_ill(AWAY))
    assert ill == [False] * (UNHEALTHY_AFTER - 1) + [True]
    assert Standing(patience_s=1.0).is_ill(BAD)


def test_what_fell_by_asking_may_rise_by_asking() -> None:
    asked, tried = Standing(patience_s=300.0), Standing(patience_s=300.0)
    assert not asked.refused(AWAY, 0.0)
    assert asked.refused(BAD, 0.0)
    assert (asked.fell_by_asking, asked.delivered()) == (True, True)
    assert (asked.fell_by_asking, asked.has_fallen) == (False, False)
    tried.failed(BAD, 0.0)
    assert not tried.refused(BAD, 1.0)
    assert not tried.fell_by_asking, "that it says it would is no proof that it does"
