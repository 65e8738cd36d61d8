"""A poll loop and `elasticsearch.helpers.streaming_bulk`: what most programs of this kind are."""

from __future__ import annotations

from collections.abc import Iterator

from common import Meter, Place, document, task
from confluent_kafka import Consumer
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk

CHUNK = 5_000


def main() -> None:
    what = task()
    meter = Meter(what.count)
    consumer = Consumer(
        {
            "bootstrap.servers": what.bootstrap,
            "group.id": what.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([what.topic])
    read = 0

    def actions() -> Iterator[dict[str, object]]:
        nonlocal read
        while read < what.count:
            message = consumer.poll(1.0)
            if message is None or message.error():
                continue
            read += 1
            place = Place(message.topic(), message.partition(), message.offset(), message.headers())
            yield {
                "_op_type": "create",
                "_index": what.index,
                "_id": f"{message.topic()}-{message.partition()}-{message.offset()}",
                "_source": document(message.value() or b"", place),
            }

    for number, _ in enumerate(streaming_bulk(Elasticsearch(what.url), actions(), chunk_size=CHUNK), 1):
        if number % CHUNK == 0 or number == what.count:
            meter.done(CHUNK if number % CHUNK == 0 else number % CHUNK)
            consumer.commit(asynchronous=True)
    meter.finish()


main()
