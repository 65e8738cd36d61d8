"""What comes to the manager, read."""

from __future__ import annotations

import msgspec
from confluent_kafka import Message

from streaming import decoding
from streaming.alerting.desk import Input
from streaming.alerting.messages import Candidate, Command, Finding
from streaming.heartbeat.messages import NodeStatus
from streaming.kafka import topics
from streaming.pipeline.messages import PipelineStatus
from streaming.worker.logs import logger
from streaming.worker.metrics import MANAGER_CANDIDATES, UNREADABLE

log = logger(__name__)

_READ: dict[str, msgspec.json.Decoder[Input]] = {
    topics.CANDIDATES: decoding.decoder(Finding),
    topics.NODE_STATUS: decoding.decoder(NodeStatus),
    topics.PIPELINE_STATUS: decoding.decoder(PipelineStatus),
    topics.COMMANDS: decoding.decoder(Command),
}

TOPICS = tuple(_READ)


def read_input(topic: str, message: Message) -> Input | None:
    """The one record of a topic of the catalogue.

    None for one that cannot be read: it was written by no Vigil of this version. It is counted, logged and left,
    since waiting for it would stop every alert behind it.
    """
    try:
        found = _READ[topic].decode(message.value() or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        UNREADABLE.labels("manager", topic).inc()
        log.error("record left unread", topic=topic, offset=message.offset(), reason=str(error))
        return None
    if isinstance(found, Candidate):
        MANAGER_CANDIDATES.inc()
    return found
