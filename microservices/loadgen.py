"""Customers of the order service: a steady rate of orders, some of which fail. `python -m microservices.loadgen`"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from prometheus_client import Counter

from microservices.peer import Peer, PeerAway
from streaming.errors import VigilError
from streaming.settings import Settings, load_settings
from streaming.worker.health import Health
from streaming.worker.run import run

ORDERS = Counter("vigil_loadgen_orders_total", "orders sent, by the answer's status (0: none)", ["status"])
SKIPPED = Counter("vigil_loadgen_skipped_total", "orders not sent since all customers were waiting for an answer")

DEFAULT_RATE = 2.0
CUSTOMERS = 8
"""Orders under way at once; at 30 ms an order they are enough for 250/s."""

ORDER_TIMEOUT_S = 10.0
LONGEST_WAIT_S = 0.5

FIRST_TIMEOUT_AFTER_S = 3.0
TIMEOUT_EVERY_S = 10.0
"""A gateway time-out, logged as ERROR, this often and the first soon: it makes the first alert."""

DECLINED_EVERY = 20
"""One order in 20 has its card declined: WARN."""

LEDGER_EVERY = 2_000
"""One order in 2,000 upsets the ledger: FATAL, every 17 minutes at the default rate."""

ARTICLES = ("book", "lamp", "chair")


class Mix:
    """Which card the next order is paid with."""

    def __init__(self, started_s: float) -> None:
        self._numbers = itertools.count(1)
        self._timeout_due = started_s + FIRST_TIMEOUT_AFTER_S

    def next_order(self, now_s: float) -> dict[str, object]:
        """The body of the order sent at `now_s`."""
        number = next(self._numbers)
        order: dict[str, object] = {"sku": ARTICLES[number % len(ARTICLES)], "quantity": 1 + number % 3}
        return order | {"card": self._card(number, now_s)}

    def _card(self, number: int, now_s: float) -> str:
        if now_s >= self._timeout_due:
            self._timeout_due = now_s + TIMEOUT_EVERY_S
            return "timeout"
        if number % LEDGER_EVERY == 0:
            return "ledger"
        return "declined" if number % DECLINED_EVERY == 0 else "good"


class LoadGenerator:
    """Sends orders at a steady rate. Healthy while the order service answers."""

    name = "loadgen"

    def __init__(self, shop: Peer, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.health = Health(self.name, "order service")
        self._shop, self._interval_s, self._clock = shop, 1 / rate, clock
        self._mix = Mix(clock())
        self._due = clock()
        self._free = threading.Semaphore(CUSTOMERS)
        self._customers = ThreadPoolExecutor(CUSTOMERS, thread_name_prefix="customer")

    def run_once(self) -> None:
        """Waits until the next order is due, at most half a second, and sends it without waiting for the answer."""
        wait = self._due - self._clock()
        if wait > 0:
            time.sleep(min(wait, LONGEST_WAIT_S))
            if wait > LONGEST_WAIT_S:
                return
        # After a pause (a laptop asleep) the rate goes on; what was missed is not made up for.
        self._due = max(self._due + self._interval_s, self._clock() - self._interval_s)
        if not self._free.acquire(blocking=False):
            SKIPPED.inc()
            return
        sent = self._customers.submit(self._order, self._mix.next_order(self._clock()))
        sent.add_done_callback(self._done)

    def close(self) -> None:
        """Ends without waiting for answers still to come, but for those under way."""
        self._customers.shutdown(wait=True, cancel_futures=True)

    def _order(self, body: dict[str, object]) -> int:
        try:
            status = self._shop.call("POST", "/orders", body).status
        except PeerAway as error:
            self.health.set("order service", False, str(error))
            status = 0
        else:
            self.health.set("order service", True)
        ORDERS.labels(str(status)).inc()
        return status

    def _done(self, _: Future[int]) -> None:
        self._free.release()


def main() -> None:
    """Runs until TERM or INT."""
    parser = argparse.ArgumentParser(prog="python -m microservices.loadgen")
    parser.add_argument("--rate", type=_rate, default=DEFAULT_RATE, help="orders per second (default %(default)s)")
    options = parser.parse_args()
    try:
        settings = load_settings()
        run("loadgen", settings, [lambda: _generator(settings, options.rate)], settings.health_port("loadgen"))
    except VigilError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _generator(settings: Settings, rate: float) -> LoadGenerator:
    return LoadGenerator(Peer("order", settings.bind_host, settings.order_port, ORDER_TIMEOUT_S), rate)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= 1_000:
        raise argparse.ArgumentTypeError("between 0 and 1,000 orders per second")
    return rate


if __name__ == "__main__":
    main()
