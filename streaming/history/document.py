"""A record of a history as two documents: the event, and how its subject is since then. Pure.

* The **event** is named by a hash of the record: a worker that was killed reads it again, a restore writes it to
  another place in Kafka, and it stays one document. Which month's index it is in follows from the record too.
* The **last state** is one document for each incident or node, under its own name; what is newer takes its place
  (`order.py`). So what is open or down now is counted by a plain query, without a transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson
from confluent_kafka import Message

from streaming.alerting.text import cut
from streaming.elastic.mapping import History
from streaming.events.ecs import date_text
from streaming.events.json_text import clean_text
from streaming.events.model import Json
from streaming.indexer.identity import content_ids, day_of
from streaming.retention.classes import HISTORY_DAYS, date_of

NS_PER_MS: Final = 1_000_000

NAME_LIMIT: Final = 1_000
"""Characters of a name: of a service, a group's value, a person. A keyword could hold eight times as many."""

TEXT_LIMIT: Final = 4_000
"""Characters of a text. What people and rules write is cut to 3,000 before; a node's reason is not."""

PAIRS_LIMIT: Final = 20
"""Labels, and fields of a group. With 2 x 20 of them, 8 texts and 16 names a document has at most 100,000 characters,
which are 600 KB where JSON escapes each six-fold; a usual one has 2 KB."""

Fields = dict[str, Json]


@dataclass(frozen=True)
class Told:
    """What a record says: when it happened, of whom, and the document of it, still without its place in Kafka.

    `since_ms`: the time whose month the last state lies in, the same for every event of a subject; None: it is not
    parted by month.
    """

    at_ms: int
    subject: str
    fields: Fields
    since_ms: int | None


@dataclass(frozen=True)
class Documents:
    """Where the two documents of a record go; an index is None where its month is past its retention, and must not
    come back. `at_ms` and `offset` order the events of a subject."""

    event_index: str | None
    event_id: str
    last_index: str | None
    last_id: str
    encoded: bytes
    at_ms: int
    source: tuple[str, int]
    """Topic and partition."""
    offset: int


def documents(message: Message, told: Told, history: History, index_prefix: str, now_ns: int) -> Documents:
    """Names and encodes them."""
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    appended_ms = message.timestamp()[1]
    vigil = told.fields.setdefault("vigil", {})
    event = told.fields.setdefault("event", {})
    assert isinstance(vigil, dict)
    assert isinstance(event, dict)
    vigil["kafka"] = {"topic": topic, "partition": partition, "offset": offset}
    event["ingested"] = date_text(now_ns)

    def index(name: str, at_ms: int) -> str | None:
        return _month(f"{index_prefix}-{name}-", at_ms, appended_ms, now_ns)

    last = f"{index_prefix}-{history.last}" if told.since_ms is None else index(history.last, told.since_ms)
    event_id, last_id = content_ids([message.value() or b"", told.subject.encode("utf-8", "surrogatepass")])
    return Documents(
        index(history.events, told.at_ms),
        event_id,
        last,
        last_id,
        orjson.dumps(told.fields),
        told.at_ms,
        (topic, partition),
        offset,
    )


def _month(stem: str, at_ms: int, appended_ms: int, now_ns: int) -> str | None:
    """Index of the month (UTC) in which it happened, by its own time, which a restore does not change; by Kafka's where
    that is none of this century."""
    day = next((d for ms in (at_ms, appended_ms) if (d := day_of(ms * NS_PER_MS)) is not None), None)
    date = date_of(now_ns // (86_400 * 10**9) if day is None else day)
    first_of_next = date.replace(year=date.year + date.month // 12, month=date.month % 12 + 1, day=1)
    today = date_of(now_ns // (86_400 * 10**9))
    # As roll counts: HISTORY_DAYS after the last day it is still kept.
    return None if (today - first_of_next).days >= HISTORY_DAYS else f"{stem}{date:%Y.%m}"


def name(text: str) -> str:
    """Of something, as a keyword."""
    return clean_text(cut(text, NAME_LIMIT))


def text(of: str) -> str:
    """For people, to be searched by its words."""
    return clean_text(cut(of, TEXT_LIMIT))


def date(ms: int) -> str:
    """Of milliseconds since the epoch; what no date holds is moved to its edge."""
    return date_text(ms * NS_PER_MS)


def pairs(of: dict[str, str]) -> Fields:
    """As a flattened field: keys may be anything, and an empty one is refused by Elasticsearch."""
    return {name(key[:200]) or "-": name(value) for key, value in list(of.items())[:PAIRS_LIMIT]}


def without_none(fields: Fields) -> Fields:
    """The fields that are known."""
    return {key: value for key, value in fields.items() if value is not None and value != ""}
