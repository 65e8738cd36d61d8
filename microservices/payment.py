"""Payment: charges cards at a gateway of its imagination. `python -m microservices.payment`

The card decides what happens, as test cards of real gateways do: "declined", "timeout" and "ledger" fail, each in
its way, any other is charged.
"""

from __future__ import annotations

import itertools
import logging

from fastapi import FastAPI
from pydantic import BaseModel, Field

from microservices.service import Context, Failure, create_app, serve
from streaming.settings import Settings


class Charge(BaseModel):
    """A sum to be taken from a card."""

    order_id: str
    amount_cents: int = Field(gt=0)
    card: str


def outcome(card: str) -> Failure | None:
    """What the gateway says to a card; None is success."""
    if card == "declined":
        return Failure("CARD_DECLINED", "the bank declined the card", 402)
    if card == "timeout":
        return Failure("GATEWAY_TIMEOUT", "the payment gateway did not answer in time", 504)
    if card == "ledger":
        return Failure("LEDGER_OUT_OF_BALANCE", "the ledger is out of balance", 500, logging.CRITICAL)
    return None


def build(context: Context) -> FastAPI:
    """The application."""
    app = create_app(context)
    numbers = itertools.count(1)

    @app.post("/charges", status_code=201)
    def charge(wanted: Charge) -> dict[str, object]:
        failure = outcome(wanted.card)
        if failure:
            raise failure
        return {"charge_id": f"c{next(numbers)}", "amount_cents": wanted.amount_cents}

    return app


def ports(settings: Settings) -> tuple[int, int]:
    """Its HTTP port and its accumulator's."""
    return settings.payment_port, settings.accumulator2_port


if __name__ == "__main__":
    serve("payment", ports, build)
