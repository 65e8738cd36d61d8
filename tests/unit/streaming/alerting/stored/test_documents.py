"""A document made an event again holds all that rules can ask of."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.fields import FIELD_NAMES, getter
from streaming.alerting.stored.documents import from_document
from streaming.events import ecs
from streaming.events.ecs import Provenance
from streaming.events.model import Level, LogEvent
from streaming.events.parse import parse

RECEIVED_NS = 1_795_500_000_000_000_000
AT = Provenance(RECEIVED_NS, "acc.inc-7-3", "acc", 7, 3, "logs", 4, 99)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(
    level=st.sampled_from(Level),
    message=WORDS,
    service=WORDS,
    node=WORDS,
    code=WORDS | st.none(),
    label=WORDS,
    status=st.integers(100, 599) | st.none(),
)
def test_what_rules_read_of_it_is_what_it_was(
    level: Level, message: str, service: str, node: str, code: str | None, label: str, status: int | None
) -> None:
    event = LogEvent(
        timestamp_ns=RECEIVED_NS,
        level=level,
        message=message,
        service=service,
        node_id=node,
        log_id="l-1",
        error_code=code,
        http_status=status,
        labels={"zone": label},
    )
    log = from_document(ecs.encode(event, AT))
    assert log is not None
    assert (log.received_ms, log.source, log.partition) == (RECEIVED_NS // 1_000_000, "acc.inc-7-3", 4)
    for name in (*FIELD_NAMES, "labels.zone"):
        assert getter(name)(log.event) == getter(name)(event), name


def test_a_log_of_the_canonical_schema_comes_back_with_its_own_labels_alone() -> None:
    value = {
        "message_type": "LOG",
        "log_id": "l1",
        "node_id": "n1",
        "log_level": "ERROR",
        "message": "it broke",
        "service_name": "order",
        "timestamp": "2015-10-18T18:01:47Z",
        "user": "ann",
    }
    event = parse(json.dumps(value).encode(), received_ns=RECEIVED_NS)
    assert isinstance(event, LogEvent)
    log = from_document(ecs.encode(event, AT))
    assert log is not None
    assert msgspec.structs.asdict(log.event) == msgspec.structs.asdict(event)


def test_what_no_indexer_wrote_is_no_log() -> None:
    assert from_document(b"[1]") is None
    assert from_document(b"{}") is None
