"""The catalogue of topics: the one place where their names and settings are declared."""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_MS = 24 * 60 * 60 * 1000
MIB = 1024 * 1024


@dataclass(frozen=True)
class Topic:
    """A topic as it must be; `streaming.kafka.admin.ensure_topics` creates it and reports drift.

    `config` are Kafka's own topic settings, by their Kafka names, as strings.
    """

    name: str
    partitions: int
    purpose: str
    config: dict[str, str] = field(default_factory=dict)


def _kept(days: float, mib_per_partition: int, **more: str) -> dict[str, str]:
    """Deleted by age or size, whichever comes first; append time, so that no wild clock keeps or expires it."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(int(days * DAY_MS)),
        "retention.bytes": str(mib_per_partition * MIB),
        "message.timestamp.type": "LogAppendTime",
    } | {k.replace("_", "."): v for k, v in more.items()}


def _compacted() -> dict[str, str]:
    """The last value of each key is kept for ever; compaction soon enough that a restore reads little."""
    return {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": str(DAY_MS // 24),
        "delete.retention.ms": str(DAY_MS),
    }


LOGS = "logs"
HEARTBEATS = "heartbeats"
REGISTRATIONS = "registrations"
DEAD_LETTERS = "dead-letters"
DEAD_LETTER_REPLAYS = "dead-letter-replays"
LEDGER = "accumulator-ledger"
FINGERPRINTS = "fingerprints"
TEMPLATES = "templates"
NODE_REGISTRY = "node-registry"
NODE_STATUS = "node-status"
NODE_ORDERS = "node-orders"
CANDIDATES = "candidates"
MATCHER_MARKS = "matcher-marks"
RULE_SETS = "rule-sets"
RETENTION_CLASSES = "retention-classes"
INCIDENT_STATE = "incident-state"
INCIDENT_EVENTS = "incident-events"
NOTIFICATIONS = "notifications"
NOTIFICATION_RECEIPTS = "notification-receipts"
COMMANDS = "commands"
RULE_STATE = "rule-state"
SILENCES = "silences"
AUDIT = "audit"
PIPELINE_STATUS = "pipeline-status"
DELIVERY_ATTEMPTS = "delivery-attempts"

CATALOGUE: tuple[Topic, ...] = (
    # 6 partitions x 2 GiB = 12 GiB at most; 3 days outlive a weekend without Elasticsearch.
    Topic(LOGS, 6, "every log, keyed by node_id", _kept(3, 2048)),
    Topic(HEARTBEATS, 3, "beats of nodes, keyed by node_id", _kept(1, 256)),
    Topic(REGISTRATIONS, 1, "nodes that introduce themselves, keyed by node_id", _kept(7, 64)),
    # Raw bytes as value, reason and coordinates in headers; a larger limit than `logs`, so that what was
    # too large there has a place here.
    Topic(DEAD_LETTERS, 1, "what could not be read or indexed", _kept(7, 1024, max_message_bytes=str(8 * MIB))),
    Topic(DEAD_LETTER_REPLAYS, 1, "which dead letters were replayed, keyed by their documents' ids", _compacted()),
    # Kept longer than `logs`, so that whatever is still there can be reconciled: 10 to 40 MB a day and accumulator.
    Topic(LEDGER, 1, "what each accumulator has spooled and delivered, keyed by accumulator", _kept(7, 1024)),
    Topic(FINGERPRINTS, 1, "each shape of message once, with an example, keyed by fingerprint", _compacted()),
    Topic(TEMPLATES, 1, "which template a fingerprint belongs to, keyed by fingerprint", _compacted()),
    Topic(NODE_REGISTRY, 1, "last known state of each node, keyed by node_id", _compacted()),
    Topic(NODE_STATUS, 1, "changes of node state, for the alert manager, keyed by node_id", _kept(7, 64)),
    Topic(NODE_ORDERS, 1, "maintenance and retirement of nodes, ordered by people, keyed by node_id", _compacted()),
    # One partition: one manager is active and sees the whole picture (design decision 7).
    Topic(CANDIDATES, 1, "matches of rules, keyed by rule and group", _kept(1, 512)),
    Topic(MATCHER_MARKS, 1, "high-water marks of matchers, keyed by partition and accumulator", _compacted()),
    Topic(RULE_SETS, 1, "the last good rule set", _compacted()),
    Topic(RETENTION_CLASSES, 1, "each version of the retention classes", _compacted()),
    Topic(INCIDENT_STATE, 1, "state of each incident, keyed by incident id", _compacted()),
    Topic(INCIDENT_EVENTS, 1, "history of incidents, keyed by incident id", _kept(30, 256)),
    # Kafka deletes whole segments that are closed: without an hour's, a day would be the default week.
    Topic(NOTIFICATIONS, 1, "what is to be sent, keyed by incident id", _kept(1, 128, segment_ms=str(DAY_MS // 24))),
    Topic(NOTIFICATION_RECEIPTS, 1, "what was sent, keyed by incident id and receiver", _compacted()),
    Topic(DELIVERY_ATTEMPTS, 1, "what receivers made of what was sent, keyed by incident id", _kept(30, 128)),
    Topic(COMMANDS, 1, "acknowledge, silence and other orders of people", _kept(7, 16)),
    Topic(RULE_STATE, 1, "what rules that count or remember hold: windows, values seen", _compacted()),
    Topic(SILENCES, 1, "silences in force or to come, keyed by silence id", _compacted()),
    Topic(AUDIT, 1, "who ordered what, and what came of it", _kept(90, 64)),
    Topic(PIPELINE_STATUS, 1, "lag of the workers, dead letters, progress of indexing", _kept(1, 64)),
)
