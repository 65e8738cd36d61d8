from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from microservices.client.handler import VigilHandler
from microservices.client.tracing import span

if TYPE_CHECKING:
    from tests.conftest import ForwardServer

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of its own, whose handlers are closed afterwards."""
    made = logging.Logger("shop", logging.DEBUG)
    yield made
    for handler in made.handlers:
        handler.close()


def attach(logger: logging.Logger, server: ForwardServer, queue_bytes: int = 1_000_000) -> VigilHandler:
    handler = VigilHandler("order", server.port, node_id="order-1", queue_bytes=queue_bytes, clock=lambda: NOW)
    logger.addHandler(handler)
    return handler


def test_logs_arrive_in_order_with_their_trace(forward_server: ForwardServer, logger: logging.Logger) -> None:
    attach(logger, forward_server)
    with span() as here:
        for number in range(500):
            logger.info("number %d", number)
    forward_server.wait_for(lambda: len(forward_server.events) == 500)
    assert [r["message"] for r in forward_server.records()] == [f"number {n}" for n in range(500)]
    assert {r["trace_id"] for r in forward_server.records()} == {here.trace_id}
    assert {(e.tag, e.time_ns) for e in forward_server.events} == {("logs.order", NOW)}
    assert len({r["log_id"] for r in forward_server.records()}) == 500
    assert len(forward_server.chunks) < 100, "logs that come together share a chunk"


def test_what_was_not_acknowledged_is_sent_again_with_its_chunk_id(
    forward_server: ForwardServer, logger: logging.Logger
) -> None:
    forward_server.cuts = 2
    handler = attach(logger, forward_server)
    logger.error("once")
    forward_server.wait_for(lambda: handler.waiting == 0)
    assert [r["message"] for r in forward_server.records()] == ["once"]
    assert len(forward_server.chunks) == 3
    assert len(set(forward_server.chunks)) == 1


def test_an_outage_is_bridged_and_what_did_not_fit_is_told(
    forward_server: ForwardServer, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    forward_server.stop()
    handler = attach(logger, forward_server, queue_bytes=5_000)
    for number in range(100):
        logger.info("number %d", number)
    for number in range(100, 110):
        logger.error("number %d", number)
    forward_server.wait_for(lambda: not handler.connected)
    forward_server.start()
    forward_server.wait_for(lambda: any("dropped" in r for r in forward_server.records()))
    kept = [r for r in forward_server.records() if "dropped" not in r]
    told = next(r for r in forward_server.records() if "dropped" in r)
    assert told["log_level"] == "WARN"
    assert told["dropped"] == 110 - len(kept)
    assert str(told["message"]).startswith(f"{told['dropped']} logs dropped")
    assert told["dropped_by_level"] == {
        level: count - sum(r["log_level"] == level for r in kept) for level, count in (("INFO", 100), ("ERROR", 10))
    }
    assert any(r["log_level"] == "ERROR" for r in kept), "the last tenth of the queue is theirs"
    forward_server.wait_for(lambda: handler.connected)
    said = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["vigil", "vigil"], "once when lost, once when back"


def test_its_service_never_waits(forward_server: ForwardServer, logger: logging.Logger) -> None:
    forward_server.mode = "mute"
    attach(logger, forward_server, queue_bytes=1_000)
    done = threading.Event()

    def work() -> None:
        for number in range(1_000):
            logger.info("number %d", number)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(5)
    forward_server.mode = "ack"
    forward_server.cut()


def test_closing_sends_what_is_left(forward_server: ForwardServer, logger: logging.Logger) -> None:
    handler = attach(logger, forward_server)
    for number in range(50):
        logger.info("number %d", number)
    handler.close()
    assert len(forward_server.events) == 50
    logger.info("too late, and no error")


def test_what_is_left_undelivered_is_told(
    forward_server: ForwardServer,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("microservices.client.handler.CLOSE_WITHIN_S", 0.1)
    forward_server.stop()
    handler = attach(logger, forward_server)
    logger.info("lost")
    handler.close()
    assert "1 logs of order-1 were not delivered" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking with threads is what is tested
def test_a_forked_child_is_a_run_of_its_own(forward_server: ForwardServer, logger: logging.Logger) -> None:
    handler = attach(logger, forward_server)
    logger.info("parent")
    child = os.fork()
    if child == 0:
        logger.info("child")
        handler.flush(5.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    forward_server.wait_for(lambda: len(forward_server.events) == 2)
    by_message = {r["message"]: str(r["log_id"]) for r in forward_server.records()}
    assert by_message["parent"] == f"order-1-{handler.identity.instance_id}-1"
    assert by_message["child"].endswith("-1")
    assert handler.identity.instance_id not in by_message["child"]
