"""Inventory: keeps the stock and reserves it for orders. `python -m microservices.inventory`"""

from __future__ import annotations

import itertools
import logging
import threading

from fastapi import FastAPI
from pydantic import BaseModel, Field

from microservices.service import Context, Failure, create_app, serve
from streaming.settings import Settings

log = logging.getLogger("microservices.inventory")

PRICES_CENTS = {"book": 1_990, "lamp": 4_900, "chair": 12_900}
FULL_STOCK = 1_000
LARGEST_ORDER = 100
LOW_STOCK = LARGEST_ORDER
"""Shelves are filled up below this, so that no order finds too little."""


class Reservation(BaseModel):
    """Goods to be set aside."""

    sku: str
    quantity: int = Field(gt=0, le=LARGEST_ORDER)


class Stock:
    """What is on the shelves and what is set aside. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = dict.fromkeys(PRICES_CENTS, FULL_STOCK)
        self._reserved: dict[str, Reservation] = {}
        self._numbers = itertools.count(1)

    def reserve(self, wanted: Reservation) -> str:
        """Sets goods aside and returns the reservation's id; shelves that run low are filled up again.

        Raises:
            Failure: there is no such article.
        """
        with self._lock:
            left = self._left.get(wanted.sku)
            if left is None:
                raise Failure("NO_SUCH_ARTICLE", "no such article", 404)
            self._left[wanted.sku] = left - wanted.quantity
            reservation_id = f"r{next(self._numbers)}"
            self._reserved[reservation_id] = wanted
            self._restock(wanted.sku)
            return reservation_id

    def settle(self, reservation_id: str, *, back: bool) -> None:
        """Ends a reservation: the goods go out, or back on the shelf."""
        with self._lock:
            reservation = self._reserved.pop(reservation_id, None)
            if reservation is None:
                raise Failure("NO_SUCH_RESERVATION", "no such reservation", 404)
            if back:
                self._left[reservation.sku] += reservation.quantity

    def _restock(self, sku: str) -> None:
        if self._left[sku] < LOW_STOCK:
            self._left[sku] += FULL_STOCK
            log.info("stock filled up", extra={"sku": sku})

    def levels(self) -> dict[str, int]:
        """What is left of each article."""
        with self._lock:
            return dict(self._left)


def build(context: Context) -> FastAPI:
    """The application."""
    app = create_app(context)
    stock = Stock()

    @app.get("/stock")
    def levels() -> dict[str, int]:
        return stock.levels()

    @app.post("/reservations", status_code=201)
    def reserve(wanted: Reservation) -> dict[str, object]:
        reservation_id = stock.reserve(wanted)
        return {"reservation_id": reservation_id, "amount_cents": PRICES_CENTS[wanted.sku] * wanted.quantity}

    @app.post("/reservations/{reservation_id}/dispatch")
    def dispatch(reservation_id: str) -> dict[str, object]:
        stock.settle(reservation_id, back=False)
        return {"dispatched": True}

    @app.delete("/reservations/{reservation_id}")
    def release(reservation_id: str) -> dict[str, object]:
        stock.settle(reservation_id, back=True)
        return {"released": True}

    return app


def ports(settings: Settings) -> tuple[int, int]:
    """Its HTTP port and its accumulator's."""
    return settings.inventory_port, settings.accumulator3_port


if __name__ == "__main__":
    serve("inventory", ports, build)
