"""A log that travels the whole way on purpose, to prove that the platform works and to measure how fast.

A canary enters through the first accumulator like any other log. It is told from all others by its own `log_id`, by
which it is found in Elasticsearch (`await_document`) and, hop by hop, on the alert path (`await_receipt`). The alert
rule `canary` (rules/default.yaml) matches the service `vigil-canary`, groups by log id, so that each canary is an
incident of its own, and sends to the route `canary`, which pages nobody.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from streaming import decoding
from streaming.alerting.messages import Incident, Receipt
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import logs_pattern
from streaming.errors import Unavailable, VigilError
from streaming.events.model import Level
from streaming.forward.sender import ForwardSender
from streaming.kafka import topics
from streaming.kafka.clients import consumer
from streaming.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

SERVICE = "vigil-canary"
NODE_ID = "vigil-canary"
RULE_ID = "canary"
TAG = "logs.vigil-canary"
ERROR_CODE = "CANARY"
LOG_ID_FIELD = "vigil.log_id"

CLOCK_SKEW_MS = 5_000
"""How far Kafka's clock may lie behind the sender's: topics are read from this long before the canary was sent."""


class CanaryLost(VigilError):
    """A canary did not come out in time; the text names the first place where it was not seen, and a remedy."""


@dataclass(frozen=True)
class Canary:
    """One canary; `sent_ms` is the time (milliseconds since the epoch) just before it was written to the socket."""

    log_id: str
    sent_ms: int


def canary_record(log_id: str, level: Level, at_ns: int) -> dict[str, object]:
    """The canary in the canonical schema; from ERROR on it carries error details, as that schema asks."""
    record: dict[str, object] = {
        "log_id": log_id,
        "node_id": NODE_ID,
        "log_level": level.value,
        "message_type": "LOG",
        "message": f"Canary {log_id}: sent to prove that logs and alerts arrive",
        "service_name": SERVICE,
        "timestamp": datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="microseconds"),
    }
    if level.rank >= Level.ERROR.rank:
        record["error_details"] = {"error_code": ERROR_CODE, "error_message": "No error: this alert is a test"}
    return record


def send_canary(settings: Settings, level: Level) -> Canary:
    """Sends a new canary to accumulator1 and returns when that has acknowledged it.

    Raises:
        ForwardError: the accumulator did not acknowledge.
    """
    now_ns = time.time_ns()
    canary = Canary(f"canary-{secrets.token_hex(8)}", now_ns // 1_000_000)
    sender = ForwardSender(settings.bind_host, settings.accumulator1_port, access=settings.forward_access)
    try:
        sender.send(TAG, [(now_ns, canary_record(canary.log_id, level, now_ns))])
    finally:
        sender.close()
    return canary


def await_document(settings: Settings, canary: Canary, timeout_s: float = 30.0) -> int:
    """Milliseconds from sending until a search found the canary's document. Refreshes the indices before each search.

    Raises:
        CanaryLost: not found in time; the text says where the canary was seen last.
        Unavailable: Elasticsearch or Kafka does not answer.
    """
    if _becomes_searchable(settings, canary.log_id, timeout_s):
        return time.time_ns() // 1_000_000 - canary.sent_ms
    seen = Sightings(canary.log_id)
    with closing(_records_since(settings, canary, (Hop.LOGS, Hop.DEAD_LETTERS))) as records:
        deadline = time.monotonic() + _LOOK_BACK_S
        for record in records:
            # On a busy topic there always is one more.
            if record is None or time.monotonic() >= deadline:
                break
            seen.note(*record)
    raise CanaryLost(explain_missing_document(seen, settings, timeout_s))


_LOOK_BACK_S = 10.0
"""Time to find a lost log in Kafka: at 5,000 logs/s there are 150,000 of the last 30 s, which takes a second or two."""


def await_receipt(settings: Settings, canary: Canary, timeout_s: float = 30.0) -> dict[Hop, int]:
    """Milliseconds from sending until Kafka had the canary at each hop of the alert path, the delivery's receipt last.

    Raises:
        CanaryLost: no receipt in time; the text says which hop is missing and whose log says why.
        Unavailable: Kafka does not answer.
    """
    seen = Sightings(canary.log_id)
    deadline = time.monotonic() + timeout_s
    with closing(_records_since(settings, canary, ALERT_PATH)) as records:
        for record in records:
            if record is not None:
                seen.note(*record)
            # Topics are read side by side: a receipt may come before the records that led to it.
            if Hop.RECEIPTS in seen.at_ms and (record is None or len(seen.at_ms) == len(ALERT_PATH)):
                break
            if time.monotonic() >= deadline:
                break
    if Hop.RECEIPTS in seen.at_ms:
        return {hop: seen.at_ms[hop] - canary.sent_ms for hop in ALERT_PATH if hop in seen.at_ms}
    raise CanaryLost(explain_missing_receipt(seen, settings, timeout_s))


class Hop(StrEnum):
    """A topic in which a canary can be seen; the value is the topic's name in the catalogue."""

    LOGS = topics.LOGS
    DEAD_LETTERS = topics.DEAD_LETTERS
    CANDIDATES = topics.CANDIDATES
    INCIDENTS = topics.INCIDENT_STATE
    NOTIFICATIONS = topics.NOTIFICATIONS
    RECEIPTS = topics.NOTIFICATION_RECEIPTS


ALERT_PATH: tuple[Hop, ...] = (Hop.LOGS, Hop.CANDIDATES, Hop.INCIDENTS, Hop.NOTIFICATIONS, Hop.RECEIPTS)


@dataclass
class Sightings:
    """Where one canary was seen, and when (Kafka's time, milliseconds since the epoch). Records may come in any order.

    Everything up to the notification carries the log id; a receipt names only the incident, which the incident's own
    record ties to the log id.
    """

    log_id: str
    at_ms: dict[Hop, int] = field(default_factory=dict)
    _incident_ids: set[str] = field(default_factory=set)
    _receipts: dict[str, int] = field(default_factory=dict)
    """Time of the first receipt per incident id, until it is known whose incident it was."""

    def note(self, hop: Hop, value: bytes, at_ms: int) -> None:
        """Takes note of one record; most are not of this canary."""
        if hop is Hop.RECEIPTS:
            receipt = _decoded(value, Receipt)
            if receipt:
                self._receipts.setdefault(receipt.incident_id, at_ms)
        elif self.log_id.encode() in value:
            self.at_ms.setdefault(hop, at_ms)
            incident = _decoded(value, Incident) if hop is Hop.INCIDENTS else None
            if incident:
                self._incident_ids.add(incident.incident_id)
        for incident_id in self._incident_ids & self._receipts.keys():
            self.at_ms.setdefault(Hop.RECEIPTS, self._receipts[incident_id])


def explain_missing_document(seen: Sightings, settings: Settings, timeout_s: float) -> str:
    """Why a canary that no search finds is missing, by where else it was seen."""
    head = f"canary log {seen.log_id} was not found in Elasticsearch within {timeout_s:.0f} s: "
    if Hop.LOGS not in seen.at_ms:
        return head + _not_in_kafka(settings)
    if Hop.DEAD_LETTERS in seen.at_ms:
        return head + (
            f"it is a dead letter (topic {settings.topic(Hop.DEAD_LETTERS)}): it could not be read or indexed; "
            "`vigil dead-letters list` gives the reason"
        )
    return head + (
        f"it is in Kafka (topic {settings.topic(Hop.LOGS)}), so the indexer is behind or cannot index; "
        + _log_of(settings, "indexer")
    )


def explain_missing_receipt(seen: Sightings, settings: Settings, timeout_s: float) -> str:
    """Why the alert for a canary is missing: the first hop it did not reach, and who should have brought it there."""
    head = f"canary alert {seen.log_id} was not delivered within {timeout_s:.0f} s: "
    missing = next((hop for hop in ALERT_PATH if hop not in seen.at_ms), Hop.RECEIPTS)
    match missing:
        case Hop.LOGS:
            return head + _not_in_kafka(settings)
        case Hop.CANDIDATES:
            return head + (
                f"it is in Kafka, but the matcher made no candidate of it; is rule `{RULE_ID}` "
                f"in {settings.rules_path} (`vigil rules check`)? Else {_log_of(settings, 'matcher')}"
            )
        case Hop.INCIDENTS:
            return head + f"the matcher found it, but the manager opened no incident; {_log_of(settings, 'manager')}"
        case Hop.NOTIFICATIONS:
            return head + (
                "it is an incident, but the manager ordered no notification; is it silenced (`vigil incidents`)? "
                f"Else {_log_of(settings, 'manager')}"
            )
        case _:
            return head + (
                "a notification was ordered, but the notifier has no receipt for it; its receiver may refuse it; "
                + _log_of(settings, "notifier")
            )


def _not_in_kafka(settings: Settings) -> str:
    return f"accumulator1 acknowledged it, but it is not in Kafka (topic {settings.topic(Hop.LOGS)}); " + _log_of(
        settings, "accumulator1"
    )


def _log_of(settings: Settings, worker: str) -> str:
    return f"see {settings.log_dir / worker}.jsonl and `vigil status`"


_Shape = TypeVar("_Shape", Incident, Receipt)


def _decoded(value: bytes, shape: type[_Shape]) -> _Shape | None:
    try:
        return decoding.decode(value, shape)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _becomes_searchable(settings: Settings, log_id: str, timeout_s: float) -> bool:
    """Searches until it is found (True) or the time is over; an Elasticsearch that is busy or away is asked again."""
    deadline = time.monotonic() + timeout_s
    trouble: Unavailable | None = None
    with closing(Connection(settings.elastic, timeout_s=5.0)) as connection:
        while time.monotonic() < deadline:
            try:
                if _is_searchable(connection, settings.index_prefix, log_id):
                    return True
                trouble = None
            except Unavailable as error:
                trouble = error
            time.sleep(_SEARCH_PAUSE_S)
    if trouble:
        raise trouble
    return False


_SEARCH_PAUSE_S = 0.1


class _Count(msgspec.Struct):
    count: int


def _is_searchable(connection: Connection, index_prefix: str, log_id: str) -> bool:
    indices = logs_pattern(index_prefix)
    checked(connection.request("POST", f"/{indices}/_refresh"), f"refreshing {indices}")
    answer = checked(
        connection.json("POST", f"/{indices}/_count", {"query": {"term": {LOG_ID_FIELD: log_id}}}),
        f"searching {indices}",
    )
    return decoding.decode(answer.body, _Count).count > 0


Seen = tuple[Hop, bytes, int]
"""Where a record was, its value, and its time by Kafka (milliseconds since the epoch)."""


def _records_since(settings: Settings, canary: Canary, hops: tuple[Hop, ...]) -> Generator[Seen | None, None, None]:
    """Records of these topics from the time of the canary on, as they come; None whenever there is no more just now.

    The first None comes when all partitions were read to their ends, or when Kafka was silent for `_ANSWER_WITHIN_S`:
    a busy broker's pause says nothing of what it has. Commits nothing and joins no group. Ends only when closed.
    """
    from confluent_kafka import KafkaError, KafkaException

    hop_of = {settings.topic(hop): hop for hop in hops}
    reader = consumer(settings.kafka, settings.group("canary"), enable_partition_eof=True)
    try:
        starts = _starts(reader, hop_of, canary.sent_ms - CLOCK_SKEW_MS)
        reader.assign(starts)
        unread, deadline = {(at.topic, at.partition) for at in starts}, time.monotonic() + _ANSWER_WITHIN_S
        while True:
            message = reader.poll(0.2)
            if message is None:
                if not unread or time.monotonic() > deadline:
                    yield None
            elif (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((message.topic() or "", message.partition() or 0))
            elif message.value() is not None:
                yield hop_of[message.topic() or ""], message.value() or b"", message.timestamp()[1]
    except KafkaException as error:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not answer: {error.args[0].str()}") from error
    finally:
        reader.close()


def _starts(reader: Consumer, topic_names: Iterable[str], since_ms: int) -> list[TopicPartition]:
    """For each partition the first offset that is not older; where all are, the end as it was before that was asked.

    (The end as it is when reading begins would skip what came in between.)
    """
    from confluent_kafka import TopicPartition

    metadata = reader.list_topics(timeout=_ANSWER_WITHIN_S)
    asked = [
        TopicPartition(name, partition, since_ms)
        for name in topic_names
        if name in metadata.topics
        for partition in metadata.topics[name].partitions
    ]
    ends = _retried(lambda: {(p.topic, p.partition): _end(reader, p) for p in asked})
    found = _retried(lambda: reader.offsets_for_times(asked, timeout=_ANSWER_WITHIN_S))
    return [
        TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else ends[p.topic, p.partition]) for p in found
    ]


def _end(reader: Consumer, partition: TopicPartition) -> int:
    offsets = reader.get_watermark_offsets(partition, timeout=_ANSWER_WITHIN_S)
    if offsets is None:
        raise Unavailable(f"Kafka does not tell the end of {partition.topic}-{partition.partition}")
    return offsets[1]


_ANSWER_WITHIN_S = 10.0


_Answer = TypeVar("_Answer")


def _retried(ask: Callable[[], _Answer]) -> _Answer:
    """Asks again while Kafka answers with an error: right after a topic is made, its leader is not yet known to all."""
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + _ANSWER_WITHIN_S
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
