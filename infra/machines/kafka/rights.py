"""What each user of Kafka may do: one table, from which the access control lists follow. Pure.

A worker may read and write what it needs for its work and nothing else: an indexer that was taken over cannot write
logs, an accumulator cannot read any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not list its exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from streaming.kafka import topics
from streaming.pipeline.measuring import READS

GROUPS = "vigil-"
"""Stem of all groups and transactional ids (`Settings.group`, without a topic prefix)."""

ALL = "*"

READERS = ("reader", "tail")
"""Groups in whose names topics are read whole, without joining or committing: the client asks for their coordinator all
the same, and fails where it may not."""


@dataclass(frozen=True)
class Rights:
    """Of one user. Topics and groups by their names in the catalogue; `ALL` for every one.

    `asks_of` are groups whose offsets it may read without being their member. With `transactions` it writes under
    transactional ids that begin with its own group's name. `administers` topics: makes them and changes their settings.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    asks_of: tuple[str, ...] = ()
    transactions: bool = False
    administers: bool = False


USERS: Mapping[str, Rights] = {
    "accumulator": Rights(
        writes=(topics.LOGS, topics.HEARTBEATS, topics.REGISTRATIONS, topics.DEAD_LETTERS, topics.LEDGER)
    ),
    "indexer": Rights(
        reads=(
            topics.LOGS,
            topics.DEAD_LETTERS,
            topics.DEAD_LETTER_REPLAYS,
            topics.RETENTION_CLASSES,
            topics.INCIDENT_EVENTS,  # makes documents of what happened
            topics.NODE_STATUS,
        ),
        # Beats and registrations that came among the logs go where they belong.
        writes=(topics.DEAD_LETTERS, topics.HEARTBEATS, topics.REGISTRATIONS, topics.FINGERPRINTS),
        groups=("indexer", "dead-letter-indexer", "history-indexer"),
    ),
    "templates": Rights(
        reads=(topics.FINGERPRINTS, topics.TEMPLATES, topics.RETENTION_CLASSES),
        # Of shapes that it forgets it writes tombstones.
        writes=(topics.TEMPLATES, topics.FINGERPRINTS),
        groups=("templates",),
    ),
    "matcher": Rights(
        reads=(topics.LOGS, topics.MATCHER_MARKS, topics.RULE_SETS),
        writes=(topics.CANDIDATES, topics.MATCHER_MARKS, topics.RULE_SETS, topics.AUDIT),
        groups=("matcher",),
        transactions=True,
    ),
    "manager": Rights(
        reads=(
            topics.CANDIDATES,
            topics.NODE_STATUS,
            topics.PIPELINE_STATUS,
            topics.COMMANDS,
            topics.INCIDENT_STATE,
            topics.RULE_STATE,
            topics.SILENCES,
            topics.RULE_SETS,
            topics.LOGS,  # asks how many partitions there are
        ),
        writes=(
            topics.NOTIFICATIONS,
            topics.INCIDENT_STATE,
            topics.INCIDENT_EVENTS,
            topics.RULE_STATE,
            topics.SILENCES,
            topics.AUDIT,
        ),
        groups=("manager",),
        transactions=True,
    ),
    "notifier": Rights(
        reads=(
            topics.NOTIFICATIONS,
            topics.NOTIFICATION_RECEIPTS,
            topics.CANDIDATES,  # sees whether the manager goes on
            topics.INCIDENT_STATE,  # buttons look up what they are of
            topics.SILENCES,
            topics.AUDIT,
        ),
        writes=(
            topics.NOTIFICATION_RECEIPTS,
            topics.DELIVERY_ATTEMPTS,
            topics.CANDIDATES,  # its own troubles are incidents
            topics.COMMANDS,
        ),
        groups=("notifier", "audit"),
        asks_of=("manager",),
    ),
    "heartbeat-monitor": Rights(
        reads=(
            topics.HEARTBEATS,
            topics.REGISTRATIONS,
            topics.NODE_ORDERS,
            topics.NODE_REGISTRY,
            topics.DEAD_LETTERS,
            # The first unread record of each tells how old it is.
            *dict.fromkeys(name for read in READS.values() for name in read),
        ),
        writes=(topics.NODE_STATUS, topics.NODE_REGISTRY, topics.DEAD_LETTERS, topics.PIPELINE_STATUS),
        groups=("heartbeat-monitor", "pipeline-monitor"),
        asks_of=tuple(READS),
        transactions=True,
    ),
    # Airflow's tasks and the command line on the host: reports, audits, replays, orders of people, backup and restore.
    "control": Rights(reads=(ALL,), writes=(ALL,), groups=(ALL,), transactions=True, administers=True),
}
"""By the user's name."""


def user_of(service: str) -> str:
    """The user as which a service of the catalogue reaches Kafka.

    Raises:
        KeyError: it has none.
    """
    name = service.rstrip("0123456789")
    if name not in USERS:
        raise KeyError(service)
    return name


def lists() -> frozenset[AclBinding]:
    """The access control lists of all users."""
    return frozenset(binding for user, rights in USERS.items() for binding in _bindings(user, rights))


def _bindings(user: str, rights: Rights) -> Iterator[AclBinding]:
    for topic in dict.fromkeys((*rights.reads, *rights.writes)):
        yield _allowed(user, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    for topic in dict.fromkeys(rights.reads):
        yield _allowed(user, ResourceType.TOPIC, topic, AclOperation.READ)
    for topic in rights.writes:
        yield _allowed(user, ResourceType.TOPIC, topic, AclOperation.WRITE)
    for group in rights.groups:
        yield _allowed(user, ResourceType.GROUP, _named(group), AclOperation.READ)
    for group in (*rights.asks_of, *(READERS if rights.reads and ALL not in rights.groups else ())):
        yield _allowed(user, ResourceType.GROUP, _named(group), AclOperation.DESCRIBE)
    if rights.transactions:
        stem = GROUPS if ALL in rights.groups else _named(rights.groups[0])
        for operation in (AclOperation.WRITE, AclOperation.DESCRIBE):
            yield _allowed(user, ResourceType.TRANSACTIONAL_ID, stem, operation, ResourcePatternType.PREFIXED)
    if rights.administers:
        for operation in (
            AclOperation.CREATE,
            AclOperation.DELETE,
            AclOperation.ALTER,
            AclOperation.ALTER_CONFIGS,
            AclOperation.DESCRIBE_CONFIGS,
        ):
            yield _allowed(user, ResourceType.TOPIC, ALL, operation)
        yield _allowed(user, ResourceType.GROUP, ALL, AclOperation.DELETE)
        yield _allowed(user, ResourceType.BROKER, "kafka-cluster", AclOperation.DESCRIBE)


def _named(group: str) -> str:
    return group if group == ALL else GROUPS + group


def _allowed(
    user: str,
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
