"""What the pipeline monitor tells the alert manager."""

from __future__ import annotations

import msgspec

STATUS_KEY = b"pipeline"
"""Of every record of topic `pipeline-status`."""


class WorkerProgress(msgspec.Struct, kw_only=True):
    """One worker's consumer group on the topics it reads."""

    lag: int
    """Records behind, over all partitions; by offsets, so that the mark of each transaction between them counts too.
    0 where everything is read."""
    behind_ms: int
    """Age of the oldest record that it has not committed, since Kafka has it; 0 where there is none."""
    still_ms: int
    """How long none of its committed offsets has moved while it was behind, as far as the monitor saw it."""


class PipelineStatus(msgspec.Struct, kw_only=True):
    """How the pipeline stood at `at_ms` (topic `pipeline-status`, key `pipeline`)."""

    at_ms: int
    workers: dict[str, WorkerProgress]
    """By worker: indexer, matcher, manager, notifier, heartbeat-monitor; one whose topics are not there is left out."""
    logs: int
    """Records that came into `logs` in the last minute, or since the monitor was started."""
    dead_letters: int
    """Likewise into `dead-letters`."""
