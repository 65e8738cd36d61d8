"""Nothing of a hostile record is lost on its way to the document; and the checker of that would notice."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings

from streaming.events.ecs import Provenance, document
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from tests.support.hostile import Hostile, hostile_records, missing

PLACE = Provenance(1_795_500_000_000_000_000, "a.i:1:0", "a", 1, 0, "logs", 0, 0)


def made(value: bytes) -> dict[str, Any] | None:
    event = parse(value, received_ns=PLACE.received_ns)
    return document(event, PLACE) if isinstance(event, LogEvent) else None


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(hostile_records)
def test_every_text_number_and_long_key_is_in_the_document(record: Hostile) -> None:
    found = made(record.value)
    assert found is None or not missing(record, found)


def test_the_checker_misses_what_is_not_there() -> None:
    value = b'{"a": "one", "b": 12, "c": {"d": "two"}, "timestamp": "2026-11-24T05:00:00Z"}'
    record = Hostile(value, texts=["one", "two", "2026-11-24T05:00:00Z"], numbers=["12"])
    found = made(value)
    assert found is not None
    assert missing(record, found) == []
    labels = found.pop("labels")
    message = found.pop("message")
    assert json.loads(message)["b"] == 12  # it has no message, so all of it is shown as one
    assert missing(record, found) == ["one", "two", "12"]
    del labels["c"]["d"]
    assert missing(record, found | {"labels": labels}) == ["two"]
    del found["@timestamp"]
    assert "2026-11-24T05:00:00Z" in missing(record, found)


def test_a_long_key_is_kept_whole_beside_the_short_one() -> None:
    key = "k" * 1_000
    found = made(json.dumps({"message": "m", key: 7, "x": {key: 8}}).encode())
    assert found is not None
    short = next(name for name in found["labels"] if name.startswith("kkk") and not name.endswith("~key"))
    assert len(short) <= 197
    assert (found["labels"][short], found["labels"][f"{short}~key"]) == (7, key)
    assert found["labels"]["x"] == {short: 8, f"{short}~key": key}
