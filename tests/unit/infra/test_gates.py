"""Gates say in words what is wrong, against real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from infra.gates import failing_checks, probe
from infra.services import GateKind, Service, Stage
from streaming.settings import Settings

Serve = Callable[[dict[str, tuple[int, object]]], int]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def at(gate: GateKind, port: int) -> tuple[Service, Settings]:
    settings = Settings(kafka_port=port, elasticsearch_port=port)
    return Service("it", Stage.WORKERS, gate, port), settings


@pytest.mark.parametrize("gate", list(GateKind))
def test_a_closed_port_is_refused_with_its_address_and_a_remedy(gate: GateKind, closed_port: int) -> None:
    answer = probe(*at(gate, closed_port))
    assert not answer.ok
    assert f"127.0.0.1:{closed_port}" in answer.reason
    assert "connection refused" in answer.reason.lower()
    assert "vigil status" in answer.reason


@pytest.mark.parametrize("gate", [gate for gate in GateKind if gate is not GateKind.PORT])
def test_a_port_that_says_nothing_is_given_up_in_time(gate: GateKind, silent_port: int) -> None:
    answer = probe(*at(gate, silent_port), timeout_s=0.2)
    assert not answer.ok
    assert str(silent_port) in answer.reason


def test_another_program_on_the_port_is_told(serve: Serve) -> None:
    answer = probe(*at(GateKind.HTTP, serve({})))
    assert not answer.ok
    assert "answered 404" in answer.reason


def test_a_healthy_worker_passes(serve: Serve) -> None:
    assert probe(*at(GateKind.HTTP, serve({"/health": (200, {"healthy": True, "workers": []})}))).ok


def test_a_worker_is_quoted_on_what_fails(serve: Serve) -> None:
    checks = {
        "kafka": {"ok": True, "detail": ""},
        "elasticsearch": {"ok": False, "detail": "refused at 127.0.0.1:9200"},
    }
    body = {"healthy": False, "workers": [{"worker": "indexer", "checks": checks}]}
    answer = probe(*at(GateKind.HTTP, serve({"/health": (503, body)})))
    assert not answer.ok
    assert answer.reason == "not elasticsearch (refused at 127.0.0.1:9200)"


def test_a_process_with_several_workers_names_each() -> None:
    failing = {"assigned": {"ok": False, "detail": ""}}
    found = failing_checks({"workers": [{"worker": "matcher", "checks": failing}, {"worker": "manager", "checks": {}}]})
    assert found == ["matcher: not assigned"]


@pytest.mark.parametrize(("colour", "ok"), [("green", True), ("yellow", True), ("red", False)])
def test_elasticsearch_needs_at_least_yellow(serve: Serve, colour: str, ok: bool) -> None:
    port = serve({"/_cluster/health": (200, {"status": colour, "unassigned_shards": 3})})
    answer = probe(*at(GateKind.ELASTICSEARCH, port))
    assert answer.ok is ok
    assert colour in answer.reason


@pytest.mark.parametrize("body", [b"", b"not json", b"[1, 2]", b'{"status": 7}', b'{"workers": [3], "checks": 1}'])
@pytest.mark.parametrize("status", [200, 503])
def test_no_answer_however_odd_raises(serve: Serve, body: bytes, status: int) -> None:
    port = serve({"/_cluster/health": (status, body), "/health": (status, body)})
    assert not probe(*at(GateKind.ELASTICSEARCH, port)).ok
    assert probe(*at(GateKind.HTTP, port)).ok is (status == 200)


def test_a_proxy_of_the_environment_is_not_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    assert probe(*at(GateKind.HTTP, serve({"/health": (200, {})}))).ok


def test_a_broker_address_that_is_none_is_named() -> None:
    service = Service("kafka", Stage.KAFKA, GateKind.KAFKA, 9092)
    answer = probe(service, Settings(kafka_bootstrap="nonsense"))
    assert not answer.ok
    assert "VIGIL_KAFKA_BOOTSTRAP" in answer.reason


def test_a_port_gate_asks_for_a_connection_alone(silent_port: int) -> None:
    assert probe(*at(GateKind.PORT, silent_port)).ok
