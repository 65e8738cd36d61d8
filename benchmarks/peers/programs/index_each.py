"""`es.index` for each message: what small programs do."""

from __future__ import annotations

from common import Meter, Place, document, task
from confluent_kafka import Consumer
from elasticsearch import Elasticsearch


def main() -> None:
    what = task()
    meter = Meter(what.count)
    client = Elasticsearch(what.url)
    consumer = Consumer({"bootstrap.servers": what.bootstrap, "group.id": what.group, "auto.offset.reset": "earliest"})
    consumer.subscribe([what.topic])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        place = Place(message.topic(), message.partition(), message.offset(), message.headers())
        client.index(index=what.index, document=document(message.value() or b"", place))
        if meter.done(1):
            meter.finish()


main()
