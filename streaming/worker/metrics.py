"""The typed catalogue of metrics: every figure that any worker reports is declared here, once."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# Accumulator
ACCUMULATOR_EVENTS = Counter("vigil_accumulator_events_total", "events received and made durable", ["accumulator"])
ACCUMULATOR_CHUNKS = Counter("vigil_accumulator_chunks_total", "chunks received and made durable", ["accumulator"])
ACCUMULATOR_RESENDS = Counter(
    "vigil_accumulator_resends_total", "chunks known already, not spooled again", ["accumulator"]
)
ACCUMULATOR_PRODUCED = Counter(
    "vigil_accumulator_produced_total", "events delivered to Kafka", ["accumulator", "topic"]
)
ACCUMULATOR_SECONDARY = Counter(
    "vigil_accumulator_secondary_total", "events that Kafka did not take, kept in files of <secondary>", ["accumulator"]
)
ACCUMULATOR_REFUSED = Counter("vigil_accumulator_refused_total", "frames refused, by reason", ["accumulator", "reason"])
ACCUMULATOR_REQUESTS = Counter(
    "vigil_accumulator_requests_total", "HTTP requests answered, by status", ["accumulator", "status"]
)
ACCUMULATOR_DATAGRAMS_LOST = Counter(
    "vigil_accumulator_datagrams_lost_total", "datagrams that the kernel had no room for", ["accumulator"]
)
ACCUMULATOR_REDACTED = Counter(
    "vigil_accumulator_redacted_total", "findings replaced before the disk, by rule", ["accumulator", "rule"]
)
ACCUMULATOR_LOST = Counter(
    "vigil_accumulator_lost_total", "acknowledged events that the spool lost, by kind", ["accumulator", "kind"]
)
ACCUMULATOR_SPOOL_BYTES = Gauge("vigil_accumulator_spool_bytes", "bytes on disk not yet in Kafka", ["accumulator"])
ACCUMULATOR_CONNECTIONS = Gauge("vigil_accumulator_connections", "open client connections", ["accumulator"])

# Indexer
INDEXER_READ = Counter("vigil_indexer_read_total", "records read from Kafka", ["topic"])
INDEXER_INDEXED = Counter("vigil_indexer_indexed_total", "documents made in Elasticsearch")
INDEXER_DUPLICATES = Counter("vigil_indexer_duplicates_total", "documents that were there already")
INDEXER_DEAD_LETTERS = Counter("vigil_indexer_dead_letters_total", "records sent to the dead letters", ["reason"])
INDEXER_EXPIRED = Counter("vigil_indexer_expired_total", "records for a day past its retention")
INDICES_OPENED = Counter("vigil_indices_opened_total", "finished indices opened for records that came late")
INDEXER_RETRIES = Counter("vigil_indexer_retries_total", "bulk requests or items tried again", ["reason"])
INDEXER_SLOWED = Counter("vigil_indexer_slowed_total", "times that the bulk window was halved", ["reason"])
INDEXER_WINDOW_BYTES = Gauge("vigil_indexer_window_bytes", "bytes of bulk requests that may be under way")
INDEXER_SKIPPED = Counter(
    "vigil_indexer_skipped_total", "records that Kafka deleted before they were read", ["topic", "partition"]
)
INDEXER_BULK_SECONDS = Histogram("vigil_indexer_bulk_seconds", "time of one bulk request")

# Dead letters: from the topic into Elasticsearch, and back into the logs
DEAD_LETTERS_INDEXED = Counter("vigil_dead_letters_indexed_total", "dead letters made documents")
DEAD_LETTERS_REPEATED = Counter("vigil_dead_letters_repeated_total", "dead letters that were documents already")
DEAD_LETTERS_EXPIRED = Counter("vigil_dead_letters_expired_total", "dead letters of a day past its retention")
DEAD_LETTERS_REFUSED = Counter(
    "vigil_dead_letters_refused_total", "dead letters that Elasticsearch refuses in any form; they stay in Kafka"
)

# Events of incidents and changes of nodes: from their topics into Elasticsearch
HISTORY_INDEXED = Counter("vigil_history_indexed_total", "documents of events, and of how things are since them")
HISTORY_REPEATED = Counter("vigil_history_repeated_total", "documents that were there already, or were later")
HISTORY_EXPIRED = Counter("vigil_history_expired_total", "documents for a month past its retention")
HISTORY_REFUSED = Counter(
    "vigil_history_refused_total", "documents that Elasticsearch refuses; the events stay in Kafka"
)

# Templates of messages
FINGERPRINTS_TOLD = Counter("vigil_fingerprints_told_total", "shapes of messages told to the map of templates")
FINGERPRINTS_DEFERRED = Counter(
    "vigil_fingerprints_deferred_total", "messages whose shape was not told now: too many, or Kafka away"
)
TEMPLATES = Gauge("vigil_templates", "templates in the map")
TEMPLATES_SHAPES = Gauge("vigil_templates_shapes", "shapes in the map")
TEMPLATES_REFUSED = Counter("vigil_templates_refused_total", "shapes for which the map has no room")

# Matcher
MATCHER_READ = Counter("vigil_matcher_read_total", "logs evaluated")
MATCHER_REPEATED = Counter("vigil_matcher_repeated_total", "records below the high-water mark, not counted again")
MATCHER_CANDIDATES = Counter("vigil_matcher_candidates_total", "candidates emitted", ["rule"])
MATCHER_DROPPED = Counter("vigil_matcher_findings_dropped_total", "findings that cannot be written as JSON", ["rule"])
MATCHER_RULES = Gauge("vigil_matcher_rules", "rules in force")

# Manager
MANAGER_CANDIDATES = Counter("vigil_manager_candidates_total", "candidates taken in")
MANAGER_INCIDENTS = Gauge("vigil_manager_incidents", "incidents held, by state", ["state"])
MANAGER_NOTIFICATIONS = Counter("vigil_manager_notifications_total", "notifications ordered", ["action"])
MANAGER_TRANSACTION_SECONDS = Histogram("vigil_manager_transaction_seconds", "time of one transaction")

# Notifier
NOTIFIER_SENT = Counter("vigil_notifier_sent_total", "messages delivered", ["receiver", "action"])
NOTIFIER_FAILED = Counter("vigil_notifier_failed_total", "attempts that failed", ["receiver", "reason"])
NOTIFIER_HANDED_OVER = Counter(
    "vigil_notifier_handed_over_total", "messages that others got since their receiver failed for long", ["receiver"]
)
NOTIFIER_SIGNS = Counter("vigil_notifier_signs_total", "signs of life, by what became of them", ["receiver", "result"])
NOTIFIER_LATENCY_SECONDS = Histogram(
    "vigil_notifier_latency_seconds",
    "from the log's receive time to the receiver's answer",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)

# Heartbeat monitor
HEARTBEAT_BEATS = Counter("vigil_heartbeat_beats_total", "beats taken in")
HEARTBEAT_REPLAYED = Counter("vigil_heartbeat_replayed_total", "beats that were old or replayed")
HEARTBEAT_REFUSED = Counter(
    "vigil_heartbeat_refused_total", "beats of nodes for which there is no room, or that call themselves an accumulator"
)
HEARTBEAT_NODES = Gauge("vigil_heartbeat_nodes", "known nodes, by state", ["state"])

# Pipeline monitor
PIPELINE_LAG = Gauge("vigil_pipeline_lag", "records that a worker is behind", ["worker"])
PIPELINE_BEHIND_SECONDS = Gauge(
    "vigil_pipeline_behind_seconds", "age of the oldest record that a worker has not committed", ["worker"]
)
PIPELINE_STILL_SECONDS = Gauge(
    "vigil_pipeline_still_seconds", "how long a worker has made no progress while it was behind", ["worker"]
)

# All that read from Kafka
UNREADABLE = Counter("vigil_unreadable_total", "records a worker could not read, by reason", ["worker", "reason"])
