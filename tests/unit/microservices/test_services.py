"""The three applications in one process, without network."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from microservices import inventory, order, payment
from microservices.client import tracing
from microservices.order import NewOrder, Orders
from microservices.peer import Answer, Peer, PeerAway
from microservices.service import Context, Failure, Pulse, create_app
from streaming.settings import Settings

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def context() -> Context:
    return Context("payment", 1, Settings())


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    with TestClient(payment.build(context)) as client:
        yield client


class Remote(Peer):
    """A peer that lives in this process; remembers the trace it was called in."""

    def __init__(self, name: str, app: FastAPI) -> None:
        super().__init__(name, "127.0.0.1", 1, 1.0)
        self._client = TestClient(app)
        self.away = False
        self.calls: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> Answer:
        self.calls.append((method, path))
        self.headers.append(tracing.headers())
        if self.away:
            raise PeerAway(f"{self.name} does not answer: timed out")
        answer = self._client.request(method, path, json=body, headers=tracing.headers())
        return Answer(answer.status_code, answer.json())


@pytest.fixture
def shop() -> tuple[Orders, Remote, Remote]:
    stock = Remote("inventory", inventory.build(Context("inventory", 1, Settings())))
    bank = Remote("payment", payment.build(Context("payment", 1, Settings())))
    return Orders(stock, bank), stock, bank


def levels(stock: Remote) -> dict[str, object]:
    return stock.call("GET", "/stock").body


def test_an_order_reserves_charges_and_dispatches(shop: tuple[Orders, Remote, Remote]) -> None:
    orders, stock, bank = shop
    placed = orders.place(NewOrder(sku="book", quantity=2, card="good"))
    assert placed["amount_cents"] == 3_980
    assert stock.calls == [("POST", "/reservations"), ("POST", "/reservations/r1/dispatch")]
    assert bank.calls == [("POST", "/charges")]
    assert orders.find(str(placed["order_id"])) == placed
    assert levels(stock)["book"] == 998


@pytest.mark.parametrize(
    ("card", "code", "status", "level"),
    [
        ("declined", "CARD_DECLINED", 402, logging.WARNING),
        ("timeout", "PAYMENT_FAILED", 502, logging.ERROR),
        ("ledger", "PAYMENT_FAILED", 502, logging.ERROR),
    ],
)
def test_a_failed_charge_puts_the_goods_back(
    shop: tuple[Orders, Remote, Remote], card: str, code: str, status: int, level: int
) -> None:
    orders, stock, _ = shop
    with pytest.raises(Failure) as failed:
        orders.place(NewOrder(sku="book", quantity=2, card=card))
    assert (failed.value.code, failed.value.status, failed.value.level) == (code, status, level)
    assert stock.calls[-1] == ("DELETE", "/reservations/r1")
    assert levels(stock)["book"] == 1_000


def test_a_peer_that_is_away_is_an_error_of_its_own(shop: tuple[Orders, Remote, Remote]) -> None:
    orders, _, bank = shop
    bank.away = True
    with pytest.raises(Failure, match="payment does not answer") as failed:
        orders.place(NewOrder(sku="book", card="good"))
    assert (failed.value.code, failed.value.status) == ("PAYMENT_UNAVAILABLE", 502)


def test_shelves_are_filled_up_before_they_are_empty(shop: tuple[Orders, Remote, Remote]) -> None:
    _, stock, _ = shop
    for _ in range(25):
        assert stock.call("POST", "/reservations", {"sku": "lamp", "quantity": 99}).status == 201


def test_unknown_things_are_told(shop: tuple[Orders, Remote, Remote]) -> None:
    orders, stock, _ = shop
    assert stock.call("POST", "/reservations", {"sku": "unicorn", "quantity": 1}).error[0] == "NO_SUCH_ARTICLE"
    assert stock.call("DELETE", "/reservations/r99").error[0] == "NO_SUCH_RESERVATION"
    with pytest.raises(Failure, match="no such order"):
        orders.find("o-1")


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "microservices.service"]


@pytest.mark.parametrize(
    ("card", "level", "status"),
    [("good", "INFO", 201), ("declined", "WARNING", 402), ("timeout", "ERROR", 504), ("ledger", "CRITICAL", 500)],
)
def test_a_request_is_one_log_line(
    http: TestClient, caplog: pytest.LogCaptureFixture, card: str, level: str, status: int
) -> None:
    caplog.set_level(logging.INFO)
    answer = http.post("/charges", json={"order_id": "o-1", "amount_cents": 5, "card": card})
    (line,) = lines(caplog)
    assert (answer.status_code, line.levelname) == (status, level)
    assert line.getMessage().startswith(f"POST /charges {status}")
    extra = line.__dict__
    assert (extra["http_method"], extra["http_path"], extra["http_status"]) == ("POST", "/charges", status)
    assert extra["response_time_ms"] > 0
    assert ("error_details" in extra) == (level in ("ERROR", "CRITICAL"))


def test_health_and_faults_are_quiet(http: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert http.get("/health").json()["node_id"] == "payment-1"
    assert http.get("/faults").json() == {"error_rate": 0.0, "latency_ms": 0.0, "clock_skew_s": 0.0}
    assert lines(caplog) == []


def test_a_switched_on_error_rate_fails_requests(http: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert http.post("/faults", json={"error_rate": 1}).json()["error_rate"] == 1
    answer = http.post("/charges", json={"order_id": "o", "amount_cents": 5, "card": "good"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INJECTED_FAULT")
    assert http.get("/health").status_code == 200
    (line,) = lines(caplog)
    assert line.__dict__["error_details"]["error_code"] == "INJECTED_FAULT"


def test_switched_on_latency_makes_slow_requests(
    http: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microservices.service.SLOW_MS", 20.0)
    http.post("/faults", json={"latency_ms": 30})
    http.post("/charges", json={"order_id": "o", "amount_cents": 5, "card": "good"})
    (line,) = lines(caplog)
    assert (line.levelname, line.__dict__["threshold_limit_ms"]) == ("WARNING", 20.0)
    assert line.__dict__["response_time_ms"] >= 30


def test_faults_stay_until_they_are_changed_and_wrong_ones_are_refused(http: TestClient) -> None:
    http.post("/faults", json={"error_rate": 0.5, "clock_skew_s": 60})
    http.post("/faults", json={"latency_ms": 1})
    assert http.get("/faults").json() == {"error_rate": 0.5, "latency_ms": 1.0, "clock_skew_s": 60.0}
    for wrong in ({"error_rate": 2}, {"latency": 1}, {"hang_s": 0}):
        assert http.post("/faults", json=wrong).status_code == 422


def test_a_skewed_clock_is_wrong_by_the_skew(context: Context, http: TestClient) -> None:
    http.post("/faults", json={"clock_skew_s": -3600})
    assert (time.time_ns() - context.faults.clock()) / 1e9 == pytest.approx(3600, abs=5)


def test_a_crash_is_logged_sent_and_ends_the_process(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    http.post("/faults", json={"crash": True})
    deadline = time.monotonic() + 5
    while not ended and time.monotonic() < deadline:
        http.get("/health")
    assert ended == [70]


def test_a_bug_is_an_error_with_its_stack(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(context)

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    assert TestClient(app).get("/bug").json()["error"]["code"] == "INTERNAL"
    (line,) = lines(caplog)
    assert line.levelname == "ERROR"
    assert line.exc_info is not None


def test_a_request_works_in_the_span_of_its_caller(context: Context) -> None:
    app = create_app(context)

    @app.get("/trace")
    def trace() -> list[str | None]:
        span = tracing.current()
        assert span is not None
        return [span.trace_id, span.parent_span_id]

    answer = TestClient(app).get("/trace", headers={"traceparent": TRACEPARENT})
    assert answer.json() == ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]


def test_a_blocked_event_loop_has_no_pulse() -> None:
    now = [0.0]
    pulse = Pulse(clock=lambda: now[0])
    assert pulse.alive()
    now[0] = 5.0
    assert not pulse.alive()


def test_each_service_has_an_accumulator_of_its_own() -> None:
    settings = Settings()
    assert [module.ports(settings) for module in (order, payment, inventory)] == [
        (8001, 24224),
        (8002, 24225),
        (8003, 24226),
    ]
