"""Creates the topics of the catalogue and finds where those that exist differ from it.

`python -m streaming.kafka.admin` does so and prints what it found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not list its exports
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.topics import CATALOGUE, Topic
from streaming.settings import Settings, load_settings

ANSWER_WITHIN_S = 10.0
"""Until a broker must have answered; one that has just started takes up to 5 s."""
LEADERS_WITHIN_S = 30.0
"""Until every partition of a new topic must have a leader; it takes milliseconds unless brokers are missing."""
MAX_REPLICAS = 3


@dataclass(frozen=True)
class Repair:
    """A setting of a topic that was not as declared, and now is."""

    topic: str
    setting: str
    found: str
    set_to: str


@dataclass(frozen=True)
class Drift:
    """A difference that is left to a person, with the reason."""

    topic: str
    difference: str


@dataclass(frozen=True)
class TopicReport:
    """What `ensure_topics` found and did; topics by their full names, in the catalogue's order."""

    created: tuple[str, ...]
    repaired: tuple[Repair, ...]
    drift: tuple[Drift, ...]
    unchanged: tuple[str, ...]


def ensure_topics(settings: Settings, *, brokers: int | None = None) -> TopicReport:
    """Creates what is missing, sets back settings that differ, and reports what cannot be mended.

    Idempotent, and safe to run in several processes at once. `brokers` is the size of the cluster by which copies
    are counted (three at most); without it, the brokers that are there now are counted. Settings that the
    catalogue does not name are left as they are. When it returns, every created partition has a leader and every
    mended setting is in force.

    Raises:
        Unavailable: Kafka does not answer, or refuses; the text says which broker and why.
    """
    admin = clients.admin(settings.kafka)
    try:
        cluster = _metadata(admin, ANSWER_WITHIN_S)
        replicas = min(MAX_REPLICAS, brokers or len(cluster.brokers))
        wanted = {settings.topic(topic.name): topic for topic in CATALOGUE}
        missing = {name: topic for name, topic in wanted.items() if name not in cluster.topics}
        created = _create(admin, missing, replicas)
        known = _await_leaders(admin, missing) if missing else cluster.topics
        # Also those that another process created meanwhile, or that this broker had not heard of yet.
        existing = {name: known[name] for name in wanted if name not in created}
        repaired = _repair(admin, {name: desired_config(wanted[name], _copies(existing[name])) for name in existing})
    except KafkaException as error:
        raise Unavailable(
            f"Kafka at {settings.bootstrap}: {error.args[0].str()}. `vigil status` shows whether it runs, "
            "`vigil up` starts it"
        ) from error
    drift = tuple(
        Drift(name, difference)
        for name, found in existing.items()
        for difference in differences(wanted[name], len(found.partitions), _copies(found), replicas)
    )
    touched = {*created, *(repair.topic for repair in repaired), *(one.topic for one in drift)}
    return TopicReport(created, repaired, drift, tuple(name for name in wanted if name not in touched))


def desired_config(topic: Topic, copies: int) -> dict[str, str]:
    """Settings that a topic with so many copies must have.

    A record counts as kept when all copies but one have it, so that one broker may be lost without a loss of
    records and without a stop of producers.
    """
    return topic.config | ({"min.insync.replicas": str(copies - 1)} if copies > 1 else {})


def config_changes(desired: Mapping[str, str], found: Mapping[str, str | None]) -> dict[str, str]:
    """The desired settings that are not as found."""
    return {key: value for key, value in desired.items() if found.get(key) != value}


def differences(topic: Topic, partitions: int, copies: int, replicas: int) -> list[str]:
    """What differs and is not mended by itself, in words."""
    found = []
    if partitions < topic.partitions:
        found.append(
            f"has {partitions} partitions, {topic.partitions} are declared; none is added by itself, because keys "
            "would move to others and their order would be lost"
        )
    if partitions > topic.partitions:
        found.append(f"has {partitions} partitions, {topic.partitions} are declared; Kafka cannot take any away")
    if copies < replicas:
        found.append(
            f"keeps {copies} of {replicas} possible copies of each record; reassign its partitions to gain the others"
        )
    return found


def _copies(found: TopicMetadata) -> int:
    return min((len(partition.replicas) for partition in found.partitions.values()), default=0)


def _metadata(admin: AdminClient, timeout_s: float) -> ClusterMetadata:
    return admin.list_topics(timeout=timeout_s)


def _create(admin: AdminClient, missing: Mapping[str, Topic], replicas: int) -> tuple[str, ...]:
    """Creates them; one that turns out to exist is not counted."""
    if not missing:
        return ()
    asked = [NewTopic(n, t.partitions, replicas, config=desired_config(t, replicas)) for n, t in missing.items()]
    created = []
    for name, future in admin.create_topics(asked, operation_timeout=ANSWER_WITHIN_S).items():
        try:
            future.result()
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return tuple(created)


def _await_leaders(admin: AdminClient, topics: Mapping[str, Topic]) -> dict[str, TopicMetadata]:
    """Returns all topics that the broker knows, once every partition of these has a leader."""
    deadline = time.monotonic() + LEADERS_WITHIN_S
    while True:
        known: dict[str, TopicMetadata] = _metadata(admin, ANSWER_WITHIN_S).topics
        without = [name for name in topics if name not in known or not _is_led(known[name])]
        if not without:
            return known
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Kafka has created {', '.join(without)}, but not every partition has a leader after "
                f"{LEADERS_WITHIN_S:.0f} s. Are all brokers up?"
            )
        time.sleep(0.05)


def _is_led(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(partition.leader >= 0 for partition in topic.partitions.values())


def _repair(admin: AdminClient, desired: Mapping[str, Mapping[str, str]]) -> tuple[Repair, ...]:
    """Sets back what differs and waits until the broker shows it: it applies what it has accepted a moment later."""
    found = _configs(admin, list(desired))
    changes = {n: changed for n, wanted in desired.items() if (changed := config_changes(wanted, found[n]))}
    if not changes:
        return ()
    for future in admin.incremental_alter_configs(
        [_setting(name, changed) for name, changed in changes.items()], request_timeout=ANSWER_WITHIN_S
    ).values():
        future.result()
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline:
        shown = _configs(admin, list(changes))
        if not any(config_changes(desired[name], shown[name]) for name in changes):
            break
        time.sleep(0.05)
    return tuple(
        Repair(name, key, str(found[name].get(key)), value)
        for name, changed in changes.items()
        for key, value in changed.items()
    )


def _configs(admin: AdminClient, topics: Sequence[str]) -> dict[str, dict[str, str | None]]:
    if not topics:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    return {
        resource.name: {key: entry.value for key, entry in future.result().items()}
        for resource, future in admin.describe_configs(asked, request_timeout=ANSWER_WITHIN_S).items()
    }


def _setting(topic: str, values: Mapping[str, str]) -> ConfigResource:
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in values.items()]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)


def report_lines(report: TopicReport) -> list[str]:
    """The report for people, one finding a line."""
    return [
        *(f"created   {name}" for name in report.created),
        *(f"repaired  {one.topic}: {one.setting} was {one.found}, is {one.set_to}" for one in report.repaired),
        *(f"differs   {one.topic}: {one.difference}" for one in report.drift),
        *(f"as it is  {name}" for name in report.unchanged),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m streaming.kafka.admin [--json]`."""
    from streaming.worker.run import exit_readably

    parser = argparse.ArgumentParser(
        prog="python -m streaming.kafka.admin", description="Creates Vigil's topics and checks those that exist."
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)

    def ensure() -> None:
        report = ensure_topics(load_settings())
        print(json.dumps(asdict(report)) if options.json else "\n".join(report_lines(report)))

    exit_readably(ensure)


if __name__ == "__main__":
    main()
