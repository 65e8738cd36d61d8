"""The topics that are histories, and how a record of each becomes documents. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from confluent_kafka import Message

from streaming import decoding
from streaming.alerting.messages import IncidentEvent
from streaming.elastic import mapping
from streaming.elastic.mapping import History
from streaming.heartbeat.messages import NodeStatus
from streaming.history import incidents, nodes
from streaming.history.document import Documents, Told, documents
from streaming.kafka import topics


@dataclass(frozen=True)
class Source:
    """A topic (by its name in the catalogue), the indices that it fills, and what a record of it says.

    `read` raises `msgspec.MsgspecError` (or `UnicodeDecodeError`) where it is none.
    """

    topic: str
    history: History
    read: Callable[[bytes], Told]


SOURCES = (
    Source(
        topics.INCIDENT_EVENTS,
        mapping.INCIDENTS,
        lambda value: incidents.told(decoding.decode(value, IncidentEvent)),
    ),
    Source(topics.NODE_STATUS, mapping.NODES, lambda value: nodes.told(decoding.decode(value, NodeStatus))),
)


class Unreadable(Exception):
    """A record that nobody of Vigil has written; the text says why."""


def read(message: Message, by_topic: Mapping[str, Source], index_prefix: str, now_ns: int) -> Documents:
    """The documents of a record.

    Raises:
        Unreadable: it is none of its topic.
    """
    source = by_topic[message.topic() or ""]
    try:
        told = source.read(message.value() or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
    return documents(message, told, source.history, index_prefix, now_ns)
