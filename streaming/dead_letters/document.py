"""A dead letter as a document of `vigil-dead-letters-YYYY.MM.DD`: what it is called, where it lies, what it says. Pure.

The contract that `vigil verify` counts on: every record of topic `dead-letters` is a document in the index of the day
(UTC) on which its original was received, under `_id` = `document_id`. Records of one name (`DeadLetter.source`), one
reason and one replay are one document, whenever they come: a worker that was killed writes its letters again, and a
restore puts them back. It carries the place of the last of them (`vigil.kafka.*`), where the original surely lies.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Final

import orjson

from streaming.dead_letters.letters import DeadLetter
from streaming.events.ecs import date_text
from streaming.events.fields import DEAD_LETTER_FIELDS
from streaming.events.json_text import clean_text
from streaming.events.model import Json
from streaming.indexer.identity import NS_PER_DAY, day_of, is_expired

ORIGINAL_BYTES: Final = 32 * 1024
"""Of the original in the document, as text and as base64. All of it, up to 8 MiB, is in Kafka for the topic's retention
(7 days); the document has its size and SHA-256. 64 documents of text that JSON escapes six-fold stay under 16 MB."""

_NAME_CHARACTERS: Final = 1_000
"""Of a reason, topic or worker: headers of a record that anyone may have written."""

assert "vigil.replayed_at" in DEAD_LETTER_FIELDS


def document_id(letter: DeadLetter) -> str:
    """128 bits as 22 characters of base64url, of the original's name, the reason, and the replay that brought it."""
    parts = [letter.source, letter.reason]
    if letter.replay is not None:
        # A letter that comes back from a replay has failed again: that is news, not a repeat.
        parts.append(f"{letter.replay.replay_id}:{letter.replay.sequence}")
    named = "\0".join(parts).encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(blake2b(named, digest_size=16).digest())[:22].decode()


def index_day(letter: DeadLetter, now_ns: int) -> int:
    """Days since the epoch, UTC: when its original was received, which a repeat says as well; else when Kafka appended
    it. Today where neither is a time of 2000 to 2100."""
    for told_ns in (letter.received_ns, letter.appended_ms * 1_000_000):
        day = None if told_ns is None else day_of(told_ns)
        if day is not None:
            return day
    return now_ns // NS_PER_DAY


def index_of(letter: DeadLetter, index_prefix: str, retention_days: int, now_ns: int) -> str | None:
    """Index of its document; None if its day is past retention, whose index must not come back."""
    day = index_day(letter, now_ns)
    if is_expired(day, now_ns // NS_PER_DAY, retention_days):
        return None
    return f"{index_prefix}-dead-letters-{datetime.fromtimestamp(day * 86_400, UTC):%Y.%m.%d}"


def document(letter: DeadLetter, ingested_ns: int) -> dict[str, Json]:
    """All that is known of the letter, and the beginning of its original."""
    made = bare_document(letter, ingested_ns)
    about, event = made["dead_letter"], made["event"]
    assert isinstance(about, dict)
    assert isinstance(event, dict)
    head = letter.value[:ORIGINAL_BYTES]
    about["detail"] = letter.detail
    about["base64"] = b64encode(head).decode()
    about["cut"] = len(letter.value) > len(head)
    text = _text(head, cut=len(letter.value) > len(head))
    if text is not None:
        event["original"] = text
    return made


def bare_document(letter: DeadLetter, ingested_ns: int) -> dict[str, Json]:
    """The same without anything that its sender wrote: for the case that Elasticsearch refuses the whole of it."""
    source: dict[str, Json] = {
        "reason": letter.reason[:_NAME_CHARACTERS],
        "worker": letter.worker[:_NAME_CHARACTERS],
        "size": len(letter.value),
        "sha256": sha256(letter.value).hexdigest(),
    }
    if letter.source_topic:
        source["topic"] = letter.source_topic[:_NAME_CHARACTERS]
    if letter.source_partition is not None:
        source["partition"] = letter.source_partition
    if letter.source_offset is not None:
        source["offset"] = letter.source_offset
    vigil: dict[str, Json] = {
        "source": clean_text(letter.source),
        "kafka": _place(letter),
    }
    if letter.coordinates is not None:
        vigil["accumulator"] = clean_text(letter.coordinates.accumulator)
        vigil["incarnation"] = clean_text(letter.coordinates.incarnation)
        vigil["sequence"], vigil["position"] = letter.coordinates.sequence, letter.coordinates.position
    if letter.replay is not None:
        vigil["replay"] = {"id": letter.replay.replay_id, "sequence": letter.replay.sequence}
    event: dict[str, Json] = {"ingested": date_text(ingested_ns)}
    if letter.received_ns is not None:
        event["created"] = date_text(letter.received_ns)
    return {
        "@timestamp": date_text(letter.appended_ms * 1_000_000),
        "dead_letter": source,
        "event": event,
        "vigil": vigil,
    }


def place_of(letter: DeadLetter) -> dict[str, Json]:
    """What changes in the document when the letter is found again elsewhere."""
    return {"vigil": {"kafka": _place(letter)}}


def encode(made: dict[str, Json]) -> bytes:
    """As one line of JSON."""
    return orjson.dumps(made)


def _place(letter: DeadLetter) -> dict[str, Json]:
    return {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}


def _text(head: bytes, *, cut: bool) -> str | None:
    """The bytes as text if they are UTF-8; a character that was cut through at the end is left out."""
    try:
        return head.decode()
    except UnicodeDecodeError as error:
        if not cut or error.reason != "unexpected end of data":
            return None
        return head[: error.start].decode()
