"""What a backup holds."""

from __future__ import annotations

from streaming.backup.contents import CONTENTS
from streaming.kafka import topics

COMES_AGAIN = {
    topics.HEARTBEATS,
    topics.REGISTRATIONS,
    topics.NODE_STATUS,
    topics.PIPELINE_STATUS,
    topics.LEDGER,
}
"""What may be lost: it is told again, or speaks of a Kafka that is gone."""


def test_every_topic_is_kept_or_may_be_lost() -> None:
    """A new topic must be one of both: what lives only in Kafka has a backup (design decision 11)."""
    kept = [one.topic for one in CONTENTS]
    assert len(kept) == len(set(kept))
    assert {*kept, *COMES_AGAIN} == {topic.name for topic in topics.CATALOGUE}
    assert not COMES_AGAIN & set(kept)


def test_what_is_compacted_is_kept_whole() -> None:
    whole = {one.topic for one in CONTENTS if not one.readers}
    compacted = {topic.name for topic in topics.CATALOGUE if topic.config["cleanup.policy"] == "compact"}
    assert compacted <= whole
