"""The three services and their customers as processes, against accumulators that only collect."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import ForwardServer
    from tests.integration.conftest import Launch, WaitUntil

SERVICES = ("order", "payment", "inventory")
Log = dict[str, object]


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Neither Kafka nor Elasticsearch."""
    return ()


class Shop:
    """The three services, running."""

    def __init__(self, settings: Settings, accumulators: list[ForwardServer], run: Callable[[str], None]) -> None:
        self.settings = settings
        self.accumulators = dict(zip(SERVICES, accumulators, strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.run = run

    def port(self, service: str) -> int:
        return int(getattr(self.settings, f"{service}_port"))

    def ask(self, service: str, path: str, body: object = None) -> tuple[int, Log]:
        """GET, or POST where there is a body; the status is 0 if nobody answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port(service)}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def wait(self, service: str, condition: Callable[[], object], timeout_s: float = 15) -> None:
        self.accumulators[service].wait_for(lambda: bool(condition()), timeout_s)

    def logs(self, service: str, **wanted: object) -> list[Log]:
        records = self.accumulators[service].records("LOG")
        return [r for r in records if wanted.items() <= r.items()]

    def beats(self, service: str, status: str = "UP") -> list[Log]:
        return [r for r in self.accumulators[service].records("HEARTBEAT") if r["status"] == status]


@pytest.fixture
def shop(
    settings: Settings,
    as_environment: Callable[[Settings], dict[str, str]],
    forward_servers: list[ForwardServer],
    launch: Launch,
    wait_until: WaitUntil,
) -> Shop:
    ports = {f"accumulator{number}_port": server.port for number, server in enumerate(forward_servers, 1)}
    own = settings.model_copy(update=ports | {"heartbeat_interval_s": 0.2})

    def run(name: str) -> None:
        made.processes[name] = launch(f"microservices.{name}", environment=as_environment(own))

    made = Shop(own, forward_servers, run)
    for name in SERVICES:
        run(name)
    for name in SERVICES:
        wait_until(lambda name=name: made.ask(name, "/health")[0] == 200, 20, f"{name} answers")  # type: ignore[misc]
    return made


def test_the_services_register_beat_and_say_when_they_end(shop: Shop) -> None:
    for number, name in enumerate(SERVICES):
        shop.wait(name, lambda name=name: len(shop.beats(name)) >= 3)  # type: ignore[misc]
        (registration,) = shop.accumulators[name].records("REGISTRATION")
        assert (registration["node_id"], registration["service_name"]) == (f"{name}-1", name)
        beats = shop.beats(name)
        assert [b["seq"] for b in beats] == list(range(1, len(beats) + 1))
        assert {b["instance_id"] for b in beats} == {registration["instance_id"]}
        shop.processes[name].terminate()
        assert shop.processes[name].wait(10) == 0, number
        (last,) = shop.beats(name, "DOWN")
        assert last == shop.accumulators[name].records("HEARTBEAT")[-1]
        assert [log["message"] for log in shop.logs(name)][-1] == "stopped"


def test_one_trace_runs_through_all_services(shop: Shop) -> None:
    status, placed = shop.ask("order", "/orders", {"sku": "book", "quantity": 2, "card": "good"})
    assert (status, placed["amount_cents"]) == (201, 3_980)
    for name, count in (("order", 1), ("payment", 1), ("inventory", 2)):
        shop.wait(name, lambda name=name, count=count: len(shop.logs(name, http_status=201)) >= 1)  # type: ignore[misc]
        shop.wait(name, lambda name=name, count=count: len(_requests(shop, name)) == count)  # type: ignore[misc]
    (order,) = _requests(shop, "order")
    below = [*_requests(shop, "payment"), *_requests(shop, "inventory")]
    assert {log["trace_id"] for log in below} == {order["trace_id"]}
    assert {log["parent_span_id"] for log in below} == {order["span_id"]}
    assert "parent_span_id" not in order
    assert len({log["span_id"] for log in [order, *below]}) == 4


def _requests(shop: Shop, service: str) -> list[Log]:
    return [log for log in shop.logs(service) if "http_path" in log]


def test_a_failed_payment_is_an_error_in_both_services(shop: Shop) -> None:
    assert shop.ask("order", "/orders", {"sku": "book", "card": "timeout"})[0] == 502
    shop.wait("payment", lambda: shop.logs("payment", log_level="ERROR"))
    shop.wait("order", lambda: shop.logs("order", log_level="ERROR"))
    (cause,), (effect,) = shop.logs("payment", log_level="ERROR"), shop.logs("order", log_level="ERROR")
    assert cause["error_details"] == {
        "error_code": "GATEWAY_TIMEOUT",
        "error_message": "the payment gateway did not answer in time",
    }
    assert cause["trace_id"] == effect["trace_id"]


def test_a_crash_leaves_a_fatal_log_and_no_last_beat(shop: Shop) -> None:
    assert shop.ask("payment", "/faults", {"crash": True})[0] == 200
    assert shop.processes["payment"].wait(10) == 70
    shop.wait("payment", lambda: shop.logs("payment", log_level="FATAL"))
    assert shop.beats("payment", "DOWN") == []
    assert shop.ask("order", "/orders", {"sku": "book", "card": "good"})[0] == 502
    shop.wait("order", lambda: shop.logs("order", log_level="ERROR"))
    (log,) = shop.logs("order", log_level="ERROR")
    assert isinstance(log["error_details"], dict)
    assert log["error_details"]["error_code"] == "PAYMENT_UNAVAILABLE"


def test_a_restart_repeats_no_log_id(shop: Shop) -> None:
    shop.wait("payment", lambda: shop.logs("payment", message="started"))
    shop.processes["payment"].kill()
    shop.processes["payment"].wait()
    shop.run("payment")
    shop.wait("payment", lambda: len(shop.logs("payment", message="started")) == 2)
    first, second = shop.logs("payment", message="started")
    assert first["log_id"] != second["log_id"]
    assert first["node_id"] == second["node_id"] == "payment-1"


def test_a_hang_stops_the_beats_and_ends(shop: Shop, wait_until: WaitUntil) -> None:
    assert shop.ask("inventory", "/faults", {"hang_s": 3})[0] == 200
    seen: list[int] = []

    def silent() -> bool:
        """No beat for half a second, while two were due."""
        seen.append(len(shop.beats("inventory")))
        return len(seen) > 10 and seen[-1] == seen[-10]

    wait_until(silent, 10, "beats stop")
    assert shop.processes["inventory"].poll() is None
    before = seen[-1]
    shop.wait("inventory", lambda: len(shop.beats("inventory")) > before)
    assert shop.ask("inventory", "/health")[0] == 200


def test_a_skewed_clock_shows_in_logs_and_beats(shop: Shop) -> None:
    shop.ask("payment", "/faults", {"clock_skew_s": 86_400 * 365 * 80})
    shop.wait("payment", lambda: any(str(b["timestamp"]) > "2099" for b in shop.beats("payment")))
    shop.ask("order", "/orders", {"sku": "book", "card": "good"})
    shop.wait("payment", lambda: shop.logs("payment", http_status=201))
    assert str(shop.logs("payment", http_status=201)[0]["timestamp"]) > "2099"


def test_logs_outlive_an_outage_of_the_accumulator(shop: Shop, wait_until: WaitUntil) -> None:
    accumulator = shop.accumulators["payment"]
    accumulator.stop()
    for _ in range(3):
        assert shop.ask("order", "/orders", {"sku": "book", "card": "good"})[0] == 201
    wait_until(lambda: not shop.ask("payment", "/health")[1]["accumulator_connected"], 10, "the outage is noticed")
    assert int(str(shop.ask("payment", "/health")[1]["logs_waiting"])) > 0
    accumulator.start()
    shop.wait("payment", lambda: len(shop.logs("payment", http_status=201)) == 3)
    wait_until(lambda: shop.ask("payment", "/health")[1]["logs_waiting"] == 0, 10, "all is acknowledged")


def test_customers_make_a_first_error_soon(shop: Shop, wait_until: WaitUntil) -> None:
    shop.run("loadgen")
    health = f"http://127.0.0.1:{shop.settings.health_port('loadgen')}/health"

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(health, timeout=2) as answer:
                return bool(json.load(answer)["healthy"])
        except OSError:
            return False

    wait_until(healthy, 15, "loadgen is healthy")
    shop.wait("payment", lambda: shop.logs("payment", log_level="ERROR"), timeout_s=8)
    shop.processes["loadgen"].terminate()
    assert shop.processes["loadgen"].wait(10) == 0


def test_a_taken_port_is_told_in_one_line(
    shop: Shop, launch: Launch, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "second.out"
    second = launch("microservices.order", "--port", str(shop.port("order")), environment=environment, log=log)
    assert second.wait(15) == 69
    (line,) = log.read_text().splitlines()
    assert line.startswith(f"port {shop.port('order')} on 127.0.0.1 is taken")
