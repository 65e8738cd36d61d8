"""Order: takes orders, reserves the goods at inventory, charges the card at payment. `python -m microservices.order`"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections import OrderedDict

from fastapi import FastAPI
from pydantic import BaseModel, Field

from microservices.peer import Answer, Peer, PeerAway
from microservices.service import Context, Failure, create_app, serve
from streaming.settings import Settings

log = logging.getLogger("microservices.order")

PEER_TIMEOUT_S = 3.0
KEPT_ORDERS = 1_000
"""Orders that can be looked up; older ones are forgotten."""


class NewOrder(BaseModel):
    """An order as a customer sends it."""

    sku: str
    quantity: int = Field(1, gt=0, le=100)
    card: str


class Orders:
    """The work of an order across the services."""

    def __init__(self, inventory: Peer, payment: Peer) -> None:
        self._inventory, self._payment = inventory, payment
        self._start = secrets.token_hex(3)
        self._numbers = itertools.count(1)
        self._placed: OrderedDict[str, dict[str, object]] = OrderedDict()

    def place(self, order: NewOrder) -> dict[str, object]:
        """Reserves, charges, dispatches; goods go back on the shelf when the charge fails.

        Raises:
            Failure: a peer refused (its own status), or failed (502).
        """
        order_id = f"o-{self._start}-{next(self._numbers)}"
        reserved = _ask(self._inventory, "/reservations", {"sku": order.sku, "quantity": order.quantity})
        reservation = f"/reservations/{reserved['reservation_id']}"
        amount = reserved["amount_cents"]
        try:
            charged = _ask(
                self._payment, "/charges", {"order_id": order_id, "amount_cents": amount, "card": order.card}
            )
        except Failure:
            self._release(reservation)
            raise
        _ask(self._inventory, f"{reservation}/dispatch", {})
        placed = {"order_id": order_id, "amount_cents": amount, "charge_id": charged["charge_id"]}
        self._placed[order_id] = placed
        while len(self._placed) > KEPT_ORDERS:
            self._placed.popitem(last=False)
        return placed

    def find(self, order_id: str) -> dict[str, object]:
        """An order placed lately."""
        try:
            return self._placed[order_id]
        except KeyError:
            raise Failure("NO_SUCH_ORDER", "no such order", 404) from None

    def _release(self, reservation: str) -> None:
        try:
            self._inventory.call("DELETE", reservation)
        except PeerAway as error:
            log.error("goods of a failed order stay reserved", extra={"error_details": _details(error)})


def _ask(peer: Peer, path: str, body: dict[str, object]) -> dict[str, object]:
    name = peer.name.upper()
    try:
        answer = peer.call("POST", path, body)
    except PeerAway as error:
        raise Failure(f"{name}_UNAVAILABLE", str(error), 502) from error
    if answer.status < 400:
        return answer.body
    raise _failure(name, answer)


def _failure(name: str, answer: Answer) -> Failure:
    """A peer's refusal is the customer's trouble; its failure is ours."""
    code, message = answer.error
    if answer.status < 500:
        return Failure(code, message, answer.status)
    return Failure(f"{name}_FAILED", f"{name.lower()}: {message}", 502)


def _details(error: PeerAway) -> dict[str, str]:
    return {"error_code": "RELEASE_FAILED", "error_message": str(error)}


def build(context: Context) -> FastAPI:
    """The application."""
    app = create_app(context)
    settings = context.settings
    orders = Orders(
        Peer("inventory", settings.bind_host, settings.inventory_port, PEER_TIMEOUT_S),
        Peer("payment", settings.bind_host, settings.payment_port, PEER_TIMEOUT_S),
    )

    @app.post("/orders", status_code=201)
    def place(order: NewOrder) -> dict[str, object]:
        return orders.place(order)

    @app.get("/orders/{order_id}")
    def find(order_id: str) -> dict[str, object]:
        return orders.find(order_id)

    return app


def ports(settings: Settings) -> tuple[int, int]:
    """Its HTTP port and its accumulator's."""
    return settings.order_port, settings.accumulator1_port


if __name__ == "__main__":
    serve("order", ports, build)
