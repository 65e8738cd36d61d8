"""A file back into Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import ConsumerGroupState, KafkaException

from streaming.backup.archive import Entry, Head, read
from streaming.backup.contents import CONTENTS
from streaming.backup.dump import Progress, Summary
from streaming.errors import Unavailable, VigilError
from streaming.kafka.admin import ensure_topics
from streaming.kafka.clients import admin, producer
from streaming.kafka.delivery import Delivery
from streaming.kafka.ranges import ASK_WITHIN_S, RangeReader
from streaming.settings import WORKERS, Settings

CONFIRM_WITHIN_S = 60.0
MESSAGE_BYTES = 9 * 1024 * 1024
"""A dead letter of 8 MiB with its headers."""


class RestoreRefused(VigilError):
    """It would destroy something; the text says what, and what to do."""


def restore(
    settings: Settings, path: Path, *, force: bool = False, progress: Progress = lambda _topic, _count: None
) -> Summary:
    """Makes the topics that are missing and puts every record of the file back, in its partition and order.

    The file is read to its end before the first record is written, so a torn one changes nothing. For a Kafka that
    has lost its disk: topics that hold records are left alone, unless `force` says to write behind what is there
    (of compacted topics the file's value of a key then counts; of others records may then be there twice).

    Raises:
        ConfigError: the file cannot be used.
        RestoreRefused: workers are running, or topics hold records.
        Unavailable: Kafka does not answer or does not confirm.
    """
    counts = _check(path)
    ensure_topics(settings)
    _refuse_running_workers(settings)
    if not force:
        _refuse_what_is_there(settings, [topic for topic, count in counts.items() if count])
    _produce(settings, path)
    for kept in CONTENTS:
        progress(kept.topic, counts[kept.topic])
    return Summary(str(path), {kept.topic: counts[kept.topic] for kept in CONTENTS})


def _check(path: Path) -> Counter[str]:
    return Counter(item.topic for item in read(path) if isinstance(item, Entry))


def _refuse_running_workers(settings: Settings) -> None:
    """A worker that runs holds state of its own, and would write it over what is put back."""
    client = admin(settings.kafka)  # held: one that is collected meanwhile answers that there are none
    try:
        listed = client.list_consumer_groups(request_timeout=ASK_WITHIN_S).result()
    except KafkaException as error:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not answer: {error.args[0].str()}") from error
    ours = {settings.group(worker) for worker in WORKERS}
    idle = {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}
    running = [group.group_id for group in listed.valid if group.group_id in ours and group.state not in idle]
    if running:
        raise RestoreRefused(f"workers are running ({', '.join(running)}); stop them first, `vigil down` stops all")


def _refuse_what_is_there(settings: Settings, names: Sequence[str]) -> None:
    with RangeReader(settings, "backup") as reader:
        bounds = {name: reader.bounds_of(settings.topic(name)) for name in names}
    full = [name for name, found in bounds.items() if any(bound.end > bound.start for bound in found.values())]
    if full:
        raise RestoreRefused(f"there are records in {', '.join(full)} already; --force writes behind them")


def _produce(settings: Settings, path: Path) -> None:
    out = Delivery(producer(settings.kafka, message_max_bytes=MESSAGE_BYTES))
    for item in read(path):
        if not isinstance(item, Head):
            topic = settings.topic(item.topic)
            out.send(topic, item.value, key=item.key, headers=item.headers, partition=item.partition)
    try:
        out.settle(CONFIRM_WITHIN_S)
    except Unavailable as error:
        raise Unavailable(f"{error}. Repeat it with --force") from error
