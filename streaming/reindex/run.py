"""A reindexing from its begin to its end. Until an index is put in force nothing has changed for anyone.

1. Records of the topic, from the begin to the ends as they are now, go through the indexer's own code into a fresh
   generation of each day's index they belong to.
2. What the index in force holds and Kafka did not give (older records, those that Kafka has deleted) is copied.
3. The index in force takes no more writes (the indexer waits), what came meanwhile is copied, and in one step the
   fresh generation takes its name. The indexer goes on with it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import Message

from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.errors import VigilError
from streaming.indexer.prepare import Preparer
from streaming.indexer.shapes import Shapes
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from streaming.reindex.begin import Begin, ranges
from streaming.reindex.copy import items_of, written_up_to
from streaming.reindex.generations import Generations, unfinished
from streaming.reindex.writer import Writer
from streaming.retention.versions import read_retention
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

BATCH = 2_000
"""Records that are made into documents at a time."""

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much (0: not known)."""


@dataclass
class Remade:
    """One day's index: its name, the generation that is now in force, and where its documents came from."""

    name: str
    index: str
    before: str | None
    from_kafka: int = 0
    copied: int = 0


@dataclass
class Report:
    """What was done. `unreadable` and `expired` records made no document; what they had in an old index is kept."""

    read: int = 0
    unreadable: int = 0
    expired: int = 0
    indices: list[Remade] = field(default_factory=list)


class Busy(VigilError):
    """Another reindexing runs."""


def reindex(settings: Settings, begin: Begin, progress: Progress = lambda _what, _done, _of: None) -> Report:
    """Makes the log indices anew that hold records from `begin` on. The platform may run meanwhile.

    Raises:
        Unavailable: Kafka or Elasticsearch is away for too long; all indices are in force as they were, but for those
            that were put in force before.
        NotAccepted: a document is refused by the fresh index; likewise.
        Busy: another reindexing runs on this machine.
    """
    with _alone(settings):
        ensure_templates(settings)
        run = _Run(settings, progress)
        try:
            run.from_kafka(begin)
            for remade in list(run.waiting):
                run.put_in_force(remade)
        finally:
            run.close()
        return run.report


class _Run:
    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._connection = Connection(settings.elastic, timeout_s=120.0)
        self._generations = Generations(self._connection, settings.index_prefix)
        self._writer = Writer(self._connection)
        self.waiting: list[Remade] = []
        self.report = Report()
        for index in unfinished(self._generations.found()):
            log.warning("index of an unfinished reindexing deleted", index=index)
            self._generations.abandon(index)

    def from_kafka(self, begin: Begin) -> None:
        """Step 1."""
        topic = self._settings.topic(topics.LOGS)
        shapes = Shapes() if self._settings.fingerprints else None
        preparer = Preparer(self._settings.index_prefix, read_retention(self._settings), shapes=shapes)
        with RangeReader(self._settings) as reader:
            wanted = ranges(reader, topic, begin)
            total = sum(end - start for start, end in wanted.values())
            for batch in reader.read(topic, wanted):
                for start in range(0, len(batch), BATCH):
                    self._take(preparer, batch[start : start + BATCH])
                    self._progress("records read", self.report.read, total)

    def _take(self, preparer: Preparer, messages: list[Message]) -> None:
        prepared = preparer.prepare(messages)
        self._write(prepared.items)
        self.report.read += prepared.read
        self.report.unreadable += len(prepared.letters)
        self.report.expired += prepared.expired

    def _write(self, items: list[bytes]) -> None:
        by_name: dict[str, list[bytes]] = {}
        for item in items:
            by_name.setdefault(bulk.index_of(item), []).append(item)
        for name, group in by_name.items():
            remade = self._remade(name)
            old, new = bulk.create_line(name), bulk.create_line(remade.index)
            remade.from_kafka += self._writer.write([new + item.removeprefix(old) for item in group])

    def _remade(self, name: str) -> Remade:
        found = next((remade for remade in self.waiting if remade.name == name), None)
        if found is None:
            before = self._generations.in_force(name)
            found = Remade(name, self._generations.begin(name), before)
            self.waiting.append(found)
        return found

    def put_in_force(self, remade: Remade) -> None:
        """Steps 2 and 3."""
        if remade.before is not None:
            self._generations.claim(remade.before)
            above = written_up_to(self._connection, remade.before)
            self._copy(remade, remade.before)
            self._generations.block(remade.before)
            try:
                self._copy(remade, remade.before, above)
                self._generations.take_over(remade.name, remade.index)
            except BaseException:
                self._generations.unblock(remade.before)
                raise
        else:
            self._generations.take_over(remade.name, remade.index)
        self.waiting.remove(remade)
        self.report.indices.append(remade)

    def _copy(self, remade: Remade, before: str, above: int | None = None) -> None:
        self._generations.refresh(before)
        seen = 0
        for items in items_of(self._connection, before, remade.index, above):
            remade.copied += self._writer.write(items)
            seen += len(items)
            self._progress(f"{remade.name}: compared with the index in force", seen, 0)

    def close(self) -> None:
        """Leaves no half-made index where it can."""
        for remade in self.waiting:
            try:
                self._generations.abandon(remade.index)
            except VigilError as error:
                log.warning("half-made index left; the next reindexing deletes it", index=remade.index, why=str(error))
        self._connection.close()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "reindex.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy("another `vigil reindex` runs; wait for it or end it") from error
        yield
