"""What Kafka and Elasticsearch hold of the producers' logs, read without any of the code that put it there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import orjson
from confluent_kafka import Consumer, TopicPartition

from streaming.settings import Settings
from tests.support.chaos.producers import SERVICE

_SPOOL_BYTES = re.compile(r"^vigil_accumulator_spool_bytes\{[^}]*\} (\S+)$", re.MULTILINE)
_NUMBER = re.compile(r"request (\d+) of ")


@dataclass
class InKafka:
    """Of one node: the numbers in order of their first appearance are 0, 1, 2 ... up to `seen` - 1, else `gaps`."""

    seen: int = 0
    repeats: int = 0
    gaps: list[str] = field(default_factory=list)
    partitions: set[int] = field(default_factory=set)

    def take(self, number: int, partition: int) -> None:
        """The next record of the node."""
        self.partitions.add(partition)
        if number < self.seen:
            self.repeats += 1
        elif number == self.seen:
            self.seen += 1
        else:
            self.gaps.append(f"{number} came where {self.seen} was next")
            self.seen = number + 1


def in_kafka(settings: Settings, topic: str) -> dict[str, InKafka]:
    """Reads the whole topic, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "chaos-evidence", "enable.auto.commit": False}
    )
    found: dict[str, InKafka] = {}
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        for partition in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while consumer.position([TopicPartition(topic, partition)])[0].offset < high:
                for message in consumer.consume(5_000, timeout=0.5):
                    assert message.error() is None, message.error()
                    record = orjson.loads(message.value() or b"")
                    if record.get("service_name") == SERVICE:
                        number = _NUMBER.match(record["message"])
                        assert number, record
                        found.setdefault(record["node_id"], InKafka()).take(int(number[1]), partition)
                if low == high:
                    break
    finally:
        consumer.close()
    return found


def in_elasticsearch(settings: Settings) -> tuple[dict[str, int], list[str]]:
    """Documents of each node, and log ids that more than one document has (the first few).

    Both are exact while a day's index has one shard and the run lies within one day.
    """
    url = f"{settings.elasticsearch}/{settings.index_prefix}-logs-*"
    httpx.post(f"{url}/_refresh", timeout=60).raise_for_status()
    body = {
        "size": 0,
        "query": {"term": {"service.name": SERVICE}},
        "aggs": {
            "node": {"terms": {"field": "service.node.name", "size": 1000}},
            "doubled": {"terms": {"field": "vigil.log_id", "size": 5, "min_doc_count": 2}},
        },
    }
    answer = httpx.post(f"{url}/_search", json=body, timeout=120).raise_for_status().json()["aggregations"]
    nodes = {bucket["key"]: bucket["doc_count"] for bucket in answer["node"]["buckets"]}
    return nodes, [bucket["key"] for bucket in answer["doubled"]["buckets"]]


def spooled_bytes(settings: Settings, accumulators: Sequence[str]) -> int:
    """What the accumulators have on disk and not yet in Kafka, by their own word."""
    total = 0.0
    for name in accumulators:
        answer = httpx.get(f"http://{settings.bind_host}:{settings.health_port(name)}/metrics", timeout=5)
        found = re.search(
            r"^vigil_accumulator_spool_bytes\{[^}]*\} (\S+)$", answer.raise_for_status().text, re.MULTILINE
        )
        assert found, f"{name} tells no spool size"
        total += float(found[1])
    return int(total)
