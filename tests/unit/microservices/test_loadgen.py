from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest

from microservices.loadgen import DECLINED_EVERY, LEDGER_EVERY, LoadGenerator, Mix
from microservices.peer import Answer, Peer, PeerAway


def cards(seconds: float, rate: float) -> list[tuple[float, object]]:
    mix = Mix(started_s=100.0)
    return [(n / rate, mix.next_order(100.0 + n / rate)["card"]) for n in range(int(seconds * rate))]


def test_the_first_error_comes_within_five_seconds_and_then_every_ten() -> None:
    errors = [at for at, card in cards(60, rate=2) if card == "timeout"]
    assert errors[0] <= 5
    assert [after - before for before, after in itertools.pairwise(errors)] == [10.0] * (len(errors) - 1)


def test_most_orders_are_good_and_a_few_fail_otherwise() -> None:
    seen = Counter(card for _, card in cards(seconds=3_000, rate=2))
    assert seen["ledger"] == 6_000 // LEDGER_EVERY
    assert seen["declined"] == pytest.approx(6_000 / DECLINED_EVERY, rel=0.1)
    assert seen["good"] > 5_000


class Shop(Peer):
    """An order service that can be away, and can keep its customers waiting."""

    def __init__(self) -> None:
        super().__init__("order", "127.0.0.1", 1, 1.0)
        self.away = False
        self.open = threading.Event()
        self.open.set()
        self.calls: list[dict[str, object] | None] = []

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> Answer:
        self.calls.append(body)
        self.open.wait(10)
        if self.away:
            raise PeerAway("order does not answer")
        return Answer(201, {})


@pytest.mark.parametrize("away", [False, True])
def test_it_is_healthy_while_the_order_service_answers(away: bool) -> None:
    shop = Shop()
    shop.away = away
    generator = LoadGenerator(shop, rate=1_000)
    generator.run_once()
    generator.close()
    assert generator.health.answer()["healthy"] is not away


def test_a_shop_that_hangs_does_not_pile_up_customers() -> None:
    shop = Shop()
    shop.open.clear()
    generator = LoadGenerator(shop, rate=1_000)
    for _ in range(30):
        generator.run_once()
    shop.open.set()
    generator.close()
    assert len(shop.calls) <= 8
