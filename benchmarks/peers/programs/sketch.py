"""A bare sketch, and no peer: the least of Python that brings records from Kafka into Elasticsearch.

Fields renamed, no provenance, no check, nothing retried, no answer read but its first bytes. What it costs says how
fast this machine is at this moment; what a document costs others is compared with it.
"""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.parse

import orjson
from common import Meter, renamed, task
from confluent_kafka import Consumer

CHUNK = 5_000
IN_FLIGHT = 2


def main() -> None:
    what = task()
    meter = Meter(what.count)
    consumer = Consumer(
        {
            "bootstrap.servers": what.bootstrap,
            "group.id": what.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.subscribe([what.topic])
    bodies: queue.Queue[tuple[int, bytes]] = queue.Queue(IN_FLIGHT)
    lock = threading.Lock()

    def send() -> None:
        address = urllib.parse.urlsplit(what.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        while True:
            count, body = bodies.get()
            headers = {"Content-Type": "application/x-ndjson"}
            connection.request("POST", f"/{what.index}/_bulk?filter_path=errors", body, headers)
            if not connection.getresponse().read().startswith(b'{"errors":false'):
                raise RuntimeError("Elasticsearch did not take every document")
            with lock:
                ended = meter.done(count)
                consumer.commit(asynchronous=True)
            if ended:
                meter.finish()

    for _ in range(IN_FLIGHT):
        threading.Thread(target=send, daemon=True).start()
    while True:
        lines = []
        for message in consumer.consume(CHUNK, 0.1):
            lines.append(b'{"create":{"_id":"%d-%d"}}' % (message.partition(), message.offset()))
            lines.append(orjson.dumps(renamed(message.value())))
        if lines:
            bodies.put((len(lines) // 2, b"\n".join(lines) + b"\n"))


main()
