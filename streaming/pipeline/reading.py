"""Reads how the pipeline stands, as the monitor last told."""

from __future__ import annotations

import msgspec

from streaming import decoding
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from streaming.pipeline.messages import PipelineStatus
from streaming.settings import Settings


def latest_status(settings: Settings) -> PipelineStatus | None:
    """The latest that is kept; None where there is none.

    Raises:
        Unavailable: Kafka does not answer, the topic is missing, or what is there cannot be read.
    """
    topic = settings.topic(topics.PIPELINE_STATUS)
    with RangeReader(settings) as reader:
        bounds = reader.bounds_of(topic)
        ranges = {p: (max(bound.start, bound.end - 1), bound.end) for p, bound in bounds.items()}
        values = [record.value() or b"" for batch in reader.read(topic, ranges) for record in batch]
    if not values:
        return None
    try:
        return decoding.decode(values[-1], PipelineStatus)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the last record of {topic} is of another version of Vigil: {error}") from error
