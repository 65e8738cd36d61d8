"""Puts logs into Elasticsearch as the indexer does, each at the times that a test wants."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked, ensure_templates
from streaming.events.ecs import Provenance, encode
from streaming.events.model import Level, LogEvent
from streaming.fingerprint.shapes import fingerprint
from streaming.settings import Settings

_numbers = itertools.count()


def moment(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass(frozen=True)
class Log:
    """A log; received when it was written, if nothing else is said."""

    at_ms: int
    level: Level = Level.INFO
    service: str = "order"
    message: str = "all is well"
    node: str = "order-1"
    received_ms: int | None = None

    @property
    def came_ms(self) -> int:
        return self.at_ms if self.received_ms is None else self.received_ms


def put_logs(settings: Settings, logs: Iterable[Log]) -> None:
    """Indexes them, in the indices of their UTC days of receipt, and lets them be found."""
    connection = Connection(settings.elastic)
    ensure_templates(settings, connection)
    items: dict[str, list[bytes]] = defaultdict(list)
    for log in logs:
        number = next(_numbers)
        index = f"{settings.index_prefix}-logs-default-{datetime.fromtimestamp(log.came_ms / 1000, UTC):%Y.%m.%d}"
        event = LogEvent(
            timestamp_ns=log.at_ms * 1_000_000,
            level=log.level,
            message=log.message,
            service=log.service,
            node_id=log.node,
        )
        provenance = Provenance(log.came_ms * 1_000_000, f"s{number}", "a", 1, number, "logs", 0, number)
        document = encode(event, provenance, ingested_ns=log.came_ms * 1_000_000, fingerprint=fingerprint(log.message))
        items[index].append(bulk.item(bulk.create_line(index), f"id{number}".encode(), document))
    for index, found in items.items():
        made = connection.request("PUT", f"/{index}")
        assert made.status < 300 or made.error_type == "resource_already_exists_exception", made.body
        assert bulk.read_answer(bulk.send(connection, found), len(found), 1) is None
        checked(connection.request("POST", f"/{index}/_refresh"), "refreshing")
    connection.close()
