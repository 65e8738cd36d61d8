"""Whether every copy of Kafka's records is where it should be: then one broker can be away and nothing is missing."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]  # the package does not list its exports

from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess

NAMED = 3


def behind(access: KafkaAccess, brokers: int, timeout_s: float = 5.0) -> str:
    """What is missing, for a person; empty where nothing is.

    Args:
        access: of a user that may see all topics.
        brokers: how many there should be.
        timeout_s: for an answer.
    """
    try:
        return missing(clients.admin(access).list_topics(timeout=timeout_s), brokers)
    except KafkaException as error:
        return f"Kafka gives no answer: {error.args[0].str()}"


def missing(cluster: ClusterMetadata, brokers: int) -> str:
    """The same, of what Kafka has answered. Pure."""
    if len(cluster.brokers) < brokers:
        return f"{len(cluster.brokers)} of {brokers} brokers are there"
    late = [
        f"{name} {number}"
        for name, topic in sorted(cluster.topics.items())
        for number, partition in sorted(topic.partitions.items())
        if len(partition.isrs) < len(partition.replicas)
    ]
    if not late:
        return ""
    more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
    return f"a broker has yet to catch up with {', '.join(late[:NAMED])}{more}"
