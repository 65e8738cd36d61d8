"""quixstreams with its own Elasticsearch sink."""

from __future__ import annotations

import logging

from common import Meter, Place, document, task
from quixstreams import Application, message_context
from quixstreams.sinks.community.elasticsearch import ElasticsearchSink

CHUNK = 5_000


def main() -> None:
    what = task()
    meter = Meter(what.count)

    class Measured(ElasticsearchSink):
        def write(self, batch) -> None:
            super().write(batch)
            if meter.done(batch.size):
                meter.finish()

    app = Application(
        broker_address=what.bootstrap,
        consumer_group=what.group,
        auto_offset_reset="earliest",
        commit_every=CHUNK,
        loglevel=logging.WARNING,
    )
    frame = app.dataframe(app.topic(what.topic, value_deserializer="json"))

    def placed(value, _key, _timestamp, headers):
        context = message_context()
        return document(value, Place(context.topic, context.partition, context.offset, headers))

    frame = frame.apply(placed, metadata=True)
    frame.sink(Measured(what.url, what.index, batch_size=CHUNK, document_id_setter=lambda _: None))
    app.run()


main()
