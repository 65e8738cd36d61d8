"""The fields of a log document and their Elasticsearch types: one table for ecs.py and for the mapping.

The mapping is `dynamic: false`: a field that is not here is stored but not searchable, so ecs.py writes none.
"""

from __future__ import annotations

from typing import Final

KEYWORD_IGNORE_ABOVE: Final = 8_191
"""Characters. Lucene refuses a term over 32,766 bytes, and with it the whole document; 8,191 * 4 bytes of UTF-8 fit."""

LABELS_DEPTH: Final = 20
"""Levels of objects and arrays under `labels`; ecs.py writes what lies deeper as JSON text."""

LABELS_KEY_CHARACTERS: Final = 200
"""Longest key under `labels`; ecs.py shortens longer ones and adds a hash."""

LABELS_IGNORE_ABOVE: Final = 4_000
"""Characters. A flattened field indexes path and value as one term:
20 levels * (200 characters * 4 bytes + 1 byte between) + 4,000 characters * 4 bytes = 32,020 < 32,766 bytes."""

FIELDS: Final[dict[str, str]] = {
    # Nanoseconds, so that a search sorted by time keeps the order of logs within a millisecond.
    "@timestamp": "date_nanos",
    "event.created": "date_nanos",
    "event.ingested": "date_nanos",
    "event.original": "unindexed",
    "event.duration": "long",
    "log.level": "keyword",
    "log.logger": "keyword",
    "message": "text",
    "service.name": "keyword",
    "service.node.name": "keyword",
    "host.name": "keyword",
    "process.pid": "long",
    "process.thread.name": "keyword",
    "error.code": "keyword",
    "error.message": "text",
    "error.stack_trace": "text",
    "http.request.method": "keyword",
    "http.response.status_code": "long",
    "url.path": "keyword",
    "trace.id": "keyword",
    "span.id": "keyword",
    "labels": "flattened",
    "vigil.log_id": "keyword",
    "vigil.parent_span_id": "keyword",
    "vigil.start": "date_nanos",
    "vigil.threshold": "long",
    "vigil.time_source": "keyword",
    "vigil.dialect": "keyword",
    "vigil.fingerprint": "keyword",
    "vigil.source": "keyword",
    "vigil.accumulator": "keyword",
    "vigil.sequence": "long",
    "vigil.position": "long",
    "vigil.kafka.topic": "keyword",
    "vigil.kafka.partition": "long",
    "vigil.kafka.offset": "long",
}
"""Field name -> type, one of the keys of `TYPES`."""

DEAD_LETTER_FIELDS: Final[dict[str, str]] = {
    "@timestamp": "date_nanos",
    "event.created": "date_nanos",
    "event.ingested": "date_nanos",
    "event.original": "unindexed",
    "dead_letter.reason": "keyword",
    "dead_letter.detail": "text",
    "dead_letter.worker": "keyword",
    "dead_letter.topic": "keyword",
    "dead_letter.partition": "long",
    "dead_letter.offset": "long",
    "dead_letter.size": "long",
    "dead_letter.sha256": "keyword",
    "dead_letter.base64": "unindexed",
    "dead_letter.cut": "boolean",
    "vigil.source": "keyword",
    "vigil.accumulator": "keyword",
    "vigil.incarnation": "keyword",
    "vigil.sequence": "long",
    "vigil.position": "long",
    "vigil.kafka.topic": "keyword",
    "vigil.kafka.partition": "long",
    "vigil.kafka.offset": "long",
    "vigil.replay.id": "keyword",
    "vigil.replay.sequence": "long",
    "vigil.replayed_at": "date_nanos",
    "vigil.replayed_by": "keyword",
}
"""Fields of a dead letter's document (streaming/dead_letters/document.py), as `FIELDS` has those of a log's."""

INCIDENT_FIELDS: Final[dict[str, str]] = {
    "@timestamp": "date_nanos",
    "event.kind": "keyword",
    "event.action": "keyword",
    "event.reason": "text",
    "event.severity": "long",
    "event.start": "date_nanos",
    "event.end": "date_nanos",
    "event.duration": "long",
    "event.ingested": "date_nanos",
    "rule.id": "keyword",
    "rule.category": "keyword",
    "rule.reference": "keyword",
    "log.level": "keyword",
    "message": "text",
    "service.name": "keyword",
    "service.node.name": "keyword",
    "error.code": "keyword",
    "error.message": "text",
    "trace.id": "keyword",
    "labels": "flattened",
    "vigil.actor": "keyword",
    "vigil.incident.id": "keyword",
    "vigil.incident.key": "keyword",
    "vigil.incident.state": "keyword",
    "vigil.incident.severity": "keyword",
    "vigil.incident.version": "long",
    "vigil.incident.count": "long",
    "vigil.incident.reopened": "long",
    "vigil.incident.escalated": "long",
    "vigil.incident.group": "flattened",
    "vigil.incident.owner": "keyword",
    "vigil.incident.route": "keyword",
    "vigil.incident.text": "text",
    "vigil.incident.sample": "text",
    "vigil.incident.first_log": "date_nanos",
    "vigil.incident.last_log": "date_nanos",
    "vigil.incident.muted_by": "keyword",
    "vigil.incident.acknowledged": "date_nanos",
    "vigil.incident.acknowledged_by": "keyword",
    "vigil.incident.time_to_acknowledge": "long",
    "vigil.note.id": "keyword",
    "vigil.note.author": "keyword",
    "vigil.note.text": "text",
    "vigil.kafka.topic": "keyword",
    "vigil.kafka.partition": "long",
    "vigil.kafka.offset": "long",
}
"""Fields of the documents of an incident (streaming/history/incidents.py): each event of it, and what it is now."""

NODE_FIELDS: Final[dict[str, str]] = {
    "@timestamp": "date_nanos",
    "event.kind": "keyword",
    "event.action": "keyword",
    "event.reason": "text",
    "event.ingested": "date_nanos",
    "message": "text",
    "service.name": "keyword",
    "service.node.name": "keyword",
    "vigil.node.state": "keyword",
    "vigil.node.kind": "keyword",
    "vigil.node.last_beat": "date_nanos",
    "vigil.node.silent_ms": "long",
    "vigil.node.clean_shutdown": "boolean",
    "vigil.node.never_seen": "boolean",
    "vigil.node.duplicate": "boolean",
    "vigil.node.skew_ms": "long",
    "vigil.accumulator": "keyword",
    "vigil.kafka.topic": "keyword",
    "vigil.kafka.partition": "long",
    "vigil.kafka.offset": "long",
}
"""Fields of the documents of a node (streaming/history/nodes.py): each change of it, and how it is now."""

TYPES: Final[dict[str, dict[str, object]]] = {
    "date_nanos": {"type": "date_nanos"},
    "long": {"type": "long"},
    "boolean": {"type": "boolean"},
    "text": {"type": "text"},
    "keyword": {"type": "keyword", "ignore_above": KEYWORD_IGNORE_ABOVE},
    "unindexed": {"type": "keyword", "index": False, "doc_values": False},
    "flattened": {"type": "flattened", "depth_limit": LABELS_DEPTH, "ignore_above": LABELS_IGNORE_ABOVE},
}
"""What the mapping declares for each type name used in the tables above."""

MIN_DATE_NS: Final = 0
MAX_DATE_NS: Final = 2**63 - 1
"""What a `date_nanos` can hold: 1970-01-01 to 2262-04-11; a document with a date outside is refused."""

MAX_LONG: Final = 2**63 - 1
MIN_LONG: Final = -(2**63)
