"""What comes to the manager, read and decided upon."""

from __future__ import annotations

import msgspec
from confluent_kafka import Message

from streaming.alerting.engine import Engine
from streaming.alerting.incidents import NOTHING, Book, Decision
from streaming.alerting.messages import Candidate, Command
from streaming.heartbeat.messages import NodeStatus
from streaming.kafka import topics
from streaming.worker.logs import logger
from streaming.worker.metrics import MANAGER_CANDIDATES, UNREADABLE

log = logger(__name__)

TOPICS = (topics.CANDIDATES, topics.NODE_STATUS, topics.COMMANDS)


def decide(book: Book, engine: Engine, topic: str, message: Message, now_ms: int) -> Decision:
    """What one record of a topic of the catalogue leads to.

    A record that cannot be read was written by no Vigil of this version: it is counted, logged and left, since
    waiting for it would stop every alert behind it.
    """
    value = message.value() or b""
    try:
        if topic == topics.CANDIDATES:
            candidate = msgspec.json.decode(value, type=Candidate)
            MANAGER_CANDIDATES.inc()
            return book.candidate(candidate, now_ms)
        if topic == topics.NODE_STATUS:
            return book.node_status(msgspec.json.decode(value, type=NodeStatus), engine, now_ms)
        return book.command(msgspec.json.decode(value, type=Command), now_ms)
    except msgspec.DecodeError as error:
        UNREADABLE.labels("manager", topic).inc()
        log.error("record left unread", topic=topic, offset=message.offset(), reason=str(error))
        return NOTHING
