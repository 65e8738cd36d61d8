"""What a backup holds of each topic: the one place where that is declared."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.kafka import topics


@dataclass(frozen=True)
class Kept:
    """Of one topic, all that is there (`readers` empty), or what these workers' groups have not yet committed.

    The second is for work under way: what was read has its effect in the topics that are kept whole, and reading it
    again would have it twice.
    """

    topic: str
    readers: tuple[str, ...] = ()


CONTENTS: tuple[Kept, ...] = (
    # Work under way first, what it changes after it: a record that is read between the two is then in both, not in
    # neither. While the platform runs, matches of that moment may so be counted twice after a restore; none is lost.
    Kept(topics.LOGS, ("indexer", "matcher")),
    Kept(topics.CANDIDATES, ("manager",)),
    Kept(topics.COMMANDS, ("manager",)),
    Kept(topics.NOTIFICATIONS, ("notifier",)),
    Kept(topics.DEAD_LETTERS),
    Kept(topics.DEAD_LETTER_REPLAYS),
    Kept(topics.MATCHER_MARKS),
    Kept(topics.NODE_REGISTRY),
    Kept(topics.NODE_ORDERS),
    Kept(topics.RULE_SETS),
    Kept(topics.RETENTION_CLASSES),
    Kept(topics.RULE_STATE),
    Kept(topics.SILENCES),
    Kept(topics.INCIDENT_STATE),
    Kept(topics.INCIDENT_EVENTS),
    Kept(topics.AUDIT),
    Kept(topics.NOTIFICATION_RECEIPTS),
    Kept(topics.DELIVERY_ATTEMPTS),
    Kept(topics.FINGERPRINTS),
    Kept(topics.TEMPLATES),
)
"""Not kept: beats and registrations (they come again), changes of node state (in the registry and in the incidents),
how the pipeline stands (told again every few seconds), and the accumulators' ledger, which speaks of offsets that a
restored Kafka no longer has."""
