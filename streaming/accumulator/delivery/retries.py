"""When what Kafka has refused is tried again, and when it is given up. Pure; the caller has the clock."""

from __future__ import annotations

from confluent_kafka import KafkaError

from streaming.accumulator.configuration.plan import Buffer

LONGEST_WAIT_S = 3600.0
"""Where `retry_max_interval` sets no limit: an operator who has mended the cause should not wait for longer."""

REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError._INVALID_ARG,
    }
)
"""Kafka has looked at a record (or at the batch it was in) and will not have it. Any other error says that Kafka or the
client is not there for anybody's record, and then all waits in the spool."""

MISSING_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
"""Where the topic is one of Vigil's own, Kafka is not set up yet, or is about to be restored, and all waits. One that
only a configuration names may never come, and must not hold up the others: that is a refusal."""

SIZE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
"""Of a record alone in its batch there is no use in trying these again."""


def is_refusal(error: KafkaError, topic: str, own_topics: frozenset[str]) -> bool:
    """Whether an error is about this record, not about Kafka. `own_topics`: those that `vigil up` makes."""
    return error.code() in REFUSALS or (error.code() in MISSING_TOPIC and topic not in own_topics)


def wait_s(buffer: Buffer, refusals: int, random: float) -> float:
    """Before the next attempt, after so many refusals; Fluentd's rule. `random` in [0, 1) is the jitter."""
    base = 1.0 if buffer.retry_type == "periodic" else buffer.retry_exponential_backoff_base
    longest = LONGEST_WAIT_S if buffer.retry_max_interval_s is None else buffer.retry_max_interval_s
    wait = buffer.retry_wait_s
    for _ in range(min(refusals - 1, 1000)):
        if wait >= longest or base == 1.0:
            break
        wait *= base
    wait = min(wait, longest)
    return wait * (0.875 + random / 4) if buffer.retry_randomize else wait


def is_given_up(buffer: Buffer, refusals: int, since_s: float, *, has_secondary: bool) -> bool:
    """Whether a record that was refused so often, first so long ago, is tried no more."""
    if buffer.retry_forever:
        return False
    if buffer.retry_max_times is not None and refusals > buffer.retry_max_times:
        return True
    return since_s >= patience_s(buffer, has_secondary=has_secondary)


def patience_s(buffer: Buffer, *, has_secondary: bool) -> float:
    """How long a record is tried: `retry_timeout`, or the part of it after which `<secondary>` takes over."""
    return buffer.retry_timeout_s * (buffer.retry_secondary_threshold if has_secondary else 1.0)
