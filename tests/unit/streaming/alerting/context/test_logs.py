"""Where logs around an incident come from, when one source or another is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.alerting.context import logs
from streaming.alerting.context.logs import KAFKA_WITHIN_S, LOGS_LIMIT, logs_of
from streaming.alerting.stored.documents import StoredLog
from streaming.errors import Unavailable
from streaming.events.model import Level, LogEvent
from streaming.settings import Settings
from tests.support.incidents import AT_MS, an_incident

TRACE = an_incident().sample.trace_id
SETTINGS = Settings.model_construct(
    kafka_bootstrap="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1", elasticsearch_port=1
)


def stored(number: int, at_ms: int, node: str = "payment-1", service: str = "payment", trace: str = "") -> StoredLog:
    event = LogEvent(
        timestamp_ns=at_ms * 10**6,
        level=Level.INFO,
        message=f"m{number}",
        service=service,
        node_id=node,
        trace_id=trace or None,
    )
    return StoredLog(event, at_ms, f"s{number}", 0, at_ms)


class Kafka:
    """What `records_between` reads; `fails` from the so-manyth time on."""

    def __init__(self, *found: StoredLog) -> None:
        self.logs, self.asked, self.fails = list(found), list[tuple[int, int]](), 99

    def records_between(self, _: Settings, since_ms: int, until_ms: int) -> Iterator[StoredLog]:
        self.asked.append((since_ms, until_ms))
        if len(self.asked) > self.fails:
            raise Unavailable("Kafka does not answer")
        return (log for log in self.logs if since_ms <= log.came_ms < until_ms)


def install(monkeypatch: pytest.MonkeyPatch, kafka: Kafka) -> None:
    monkeypatch.setattr(logs, "records_between", kafka.records_between)


def test_from_kafka_slice_by_slice_each_log_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(
        *(stored(n, AT_MS - 900_000 + n * 20_000) for n in range(45)),
        stored(90, AT_MS + 1_000, node="order-1", service="order", trace=str(TRACE)),
        stored(91, AT_MS + 30_000),
        stored(92, AT_MS - 10, node="payment-2"),
    )
    install(monkeypatch, kafka)
    found = logs_of(SETTINGS, an_incident())
    assert [line.text for line in found.before.items] == [f"m{n}" for n in range(45)]
    assert [line.text for line in found.trace.items] == ["m90"]
    assert found.before.away == ""
    assert found.before.by.startswith("Kafka, since Elasticsearch is away: ")
    ends = [until for _, until in kafka.asked]
    assert ends[1:] == [since for since, _ in kafka.asked[:-1]], "side by side"


def test_where_its_node_said_little_its_service_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(stored(1, AT_MS - 5), *(stored(n, AT_MS - 4, node="payment-2") for n in range(2, 9)))
    install(monkeypatch, kafka)
    assert len(logs_of(SETTINGS, an_incident()).before.items) == 8


def test_no_more_is_kept_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Kafka(*(stored(n, AT_MS - 1000 + n // 5) for n in range(500))))
    found = logs_of(SETTINGS, an_incident()).before.items
    assert (len(found), found[-1].text) == (LOGS_LIMIT, "m499")


def test_kafka_is_read_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Kafka(*(stored(n, AT_MS - 10) for n in range(100))))
    ticks = iter(range(10_000))
    found = logs_of(SETTINGS, an_incident(), clock=lambda: next(ticks) * KAFKA_WITHIN_S / 50)
    assert 0 < len(found.before.items) < 60
    assert "not read to the end within 10 s" in found.before.away


def test_where_kafka_goes_away_what_was_read_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(*(stored(n, AT_MS - 10) for n in range(10)))
    kafka.fails = 1
    install(monkeypatch, kafka)
    found = logs_of(SETTINGS, an_incident())
    assert (len(found.before.items), found.before.away) == (10, "Kafka does not answer")
