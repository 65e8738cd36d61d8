"""sentry-arroyo: `BatchStep` of 5,000 and `elasticsearch.helpers.bulk`."""

from __future__ import annotations

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.processing.processor import StreamProcessor
from arroyo.processing.strategies import BatchStep, CommitOffsets, ProcessingStrategyFactory, RunTask
from arroyo.types import Topic
from common import Meter, Place, document, task
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

CHUNK = 5_000


def main() -> None:
    what = task()
    meter = Meter(what.count)
    client = Elasticsearch(what.url)

    def place(value):
        at = value.partition
        return Place(at.topic.name, at.index, value.offset, value.payload.headers)

    def write(batch):
        actions = [
            {
                "_op_type": "create",
                "_index": what.index,
                "_id": f"{value.partition.index}-{value.offset}",
                "_source": document(value.payload.value, place(value)),
            }
            for value in batch.payload
        ]
        bulk(client, actions, chunk_size=CHUNK)
        if meter.done(len(actions)):
            meter.finish()
        return batch.payload

    class Factory(ProcessingStrategyFactory[KafkaPayload]):
        def create_with_partitions(self, commit, partitions):  # noqa: ARG002 - the name is arroyo's
            return BatchStep(CHUNK, 1.0, RunTask(write, CommitOffsets(commit)))

    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {}, group_id=what.group, auto_offset_reset="earliest", bootstrap_servers=[what.bootstrap]
        )
    )
    StreamProcessor(consumer, Topic(what.topic), Factory()).run()


main()
