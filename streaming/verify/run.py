"""A verification from beginning to end.

1. The ledger says which sequences each accumulator has spooled, and where every event of them is.
2. Every topic that it names is read once: each event's bit is set. What stays unset is missing from Kafka.
3. Of `logs` and `dead-letters`, up to what their indexers have committed, each record is held against the documents of
   its partition, both in order of offset; the few without one are asked for by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Message

from streaming.accumulator.delivery import ledger
from streaming.accumulator.delivery.ledger import Page
from streaming.elastic import mapping
from streaming.kafka.ranges import Bounds, RangeReader
from streaming.kafka.topics import DEAD_LETTERS, LEDGER, LOGS
from streaming.settings import Settings
from streaming.verify import state as states
from streaming.verify.accounts import Account, Accounts, superseded
from streaming.verify.documents import Documents
from streaming.verify.horizon import horizon_ms
from streaming.verify.partitions import Kind, LetterPlaces, Letters, Logs, header_of, reconcile, show
from streaming.verify.report import AccountReport, Gap, Missing, PartitionReport, Report
from streaming.verify.state import State

INDEXER, LETTER_INDEXER = "indexer", "dead-letter-indexer"
SKEW_MS = 60_000
"""By how much an accumulator's clock may be ahead of the broker's. A ledger page's `from_ns` is of the one, a record's
append time of the other."""
SAVE_EVERY_S = 5.0

Progress = Callable[[str, int, int], None]
"""What is being read, records of it read, and about how many there are."""


def verify(
    settings: Settings,
    since_ms: int | None = None,
    *,
    resume: bool = False,
    progress: Progress = lambda _what, _done, _of: None,
) -> Report:
    """Reconciles what accumulators spooled, what Kafka holds and what Elasticsearch has, and names what is missing.

    `since_ms` (of the epoch, Kafka's append time) leaves out what is older; `resume` what an earlier run has proven.
    Nothing has to stand still: what is under way counts as backlog or lag. Memory: a bit and a little for each event
    that is looked for; time: about that of reading the records and as many hits of searches.

    Raises:
        Unavailable: Kafka or Elasticsearch does not answer.
        Refused: Elasticsearch will not answer this.
        ConfigError: the file of an earlier run cannot be read.
    """
    began = time.monotonic()
    run = _Run(settings, since_ms, states.load(settings) if resume else None, progress)
    try:
        run.all()
    finally:
        run.close()
    run.report.seconds = time.monotonic() - began
    return run.report


class _Run:
    def __init__(self, settings: Settings, since_ms: int | None, state: State | None, progress: Progress) -> None:
        self._settings, self._since_ms, self._progress = settings, since_ms, progress
        self._before = state or State()
        self._after = State(dict(self._before.offsets), dict(self._before.sequences))
        self.report = Report(since_ms, resumed=state is not None)
        self._kafka, self._asking = RangeReader(settings, "verify"), RangeReader(settings, "verify")
        self._logs = Documents(settings.elastic, mapping.logs_pattern(settings.index_prefix))
        self._letters = Documents(settings.elastic, f"{settings.index_prefix}-dead-letters-*")
        self._accounts = Accounts()
        self._bounds: dict[str, dict[int, Bounds]] = {}
        self._horizons: dict[str, int] = {}
        self._is_ledger_whole = False
        """It is read from its first record, and Kafka has not deleted any."""
        self._from_ms: int | None = None
        """What the ledger speaks of was not appended before."""
        self._saved_at = time.monotonic()

    def close(self) -> None:
        for part in (self._kafka, self._asking, self._logs, self._letters):
            part.close()

    def all(self) -> None:
        logs, letters = self._settings.topic(LOGS), self._settings.topic(DEAD_LETTERS)
        committed = {
            topic: self._kafka.committed(self._settings.group(group), topic, self._kafka.partitions(topic))
            for topic, group in ((logs, INDEXER), (letters, LETTER_INDEXER))
        }
        self._read_ledger()
        self._bounds.clear()  # what is in the ledger was appended by now
        for documents in (self._logs, self._letters):
            documents.refresh()
        places = LetterPlaces()
        kind = Letters(self._settings, self._letters, places, time.time_ns)
        self._reconcile(letters, committed[letters], kind, self._letters, kind.note)
        self._reconcile(logs, committed[logs], Logs(self._settings, self._logs, places, self._letters), self._logs)
        for topic in self._accounts.topics.names:
            if topic not in (logs, letters):
                self._read_only(topic)
        self._settle_accounts({logs: self._logs, letters: self._letters})
        self.report.records_read = self._kafka.records
        self._save()

    # ------------------------------------------------------------------------------------------- the ledger

    def _read_ledger(self) -> None:
        topic = self._settings.topic(LEDGER)
        bounds = self._kafka.bounds(topic)
        if not bounds:
            self.report.notes.append(f"no topic {topic}: what accumulators spooled is not known, only what is in Kafka")
            return
        starts = self._kafka.at_time(topic, self._since_ms, bounds) if self._since_ms is not None else {}
        self._is_ledger_whole = self._since_ms is None and all(bound.start == 0 for bound in bounds.values())
        for partition, bound in bounds.items():
            first = starts.get(partition, bound.start)
            done = 0
            for batch in self._kafka.read(topic, {partition: (first, bound.end)}):
                for message in batch:
                    self._take_page(message)
                done += len(batch)
                self._progress("pages of the ledger", done, bound.end - first)

    def _take_page(self, message: Message) -> None:
        try:
            page = ledger.decode(message.value() or b"")
        except ValueError as error:
            where = f"{message.topic()}-{message.partition()}-{message.offset()}"
            self.report.unsure.append(f"{where} is no page of the ledger ({error})")
            return
        account = self._accounts.of(page.key)
        proven = page.last <= self._before.sequences.get(page.key, 0)
        appended_ms = message.timestamp()[1]
        if proven:
            account.pass_over(page, appended_ms)
            return
        checked = page.last >= page.first and self._is_still_there(page)
        account.add(page, appended_ms, checked=checked)
        if checked:
            from_ms = page.from_ns // 1_000_000 - SKEW_MS
            self._from_ms = from_ms if self._from_ms is None else min(self._from_ms, from_ms)

    def _is_still_there(self, page: Page) -> bool:
        """Whether no topic can have deleted a record of it by age or size."""
        topics = {*page.topics, *(t for fates in page.fates.values() for t in fates if not t.startswith("<"))}
        return page.from_ns // 1_000_000 - SKEW_MS > max(map(self._horizon_of, topics), default=0)

    def _horizon_of(self, topic: str) -> int:
        found = self._horizons.get(topic)
        if found is None:
            bounds = self._bounds_of(topic)
            found = self._horizons[topic] = horizon_ms(self._asking, self._settings, topic, bounds)
        return found

    def _bounds_of(self, topic: str) -> dict[int, Bounds]:
        found = self._bounds.get(topic)
        if found is None:
            found = self._bounds[topic] = self._asking.bounds(topic)
        return found

    # ------------------------------------------------------------------------------------------- topics

    def _starts(self, topic: str) -> dict[int, int]:
        """Where the records that the ledger speaks of begin; the ends where it speaks of none in this topic."""
        bounds = self._bounds_of(topic)
        if self._from_ms is None or topic not in self._accounts.topics.names:
            return {p: b.end for p, b in bounds.items()}
        return self._kafka.at_time(topic, self._from_ms, bounds)

    def _read_only(self, topic: str) -> None:
        """A topic that does not become documents."""
        see = self._accounts.watcher(topic)
        bounds = self._bounds_of(topic)
        if not bounds:
            self.report.notes.append(f"topic {topic}, which the ledger names, is not there")
        for partition, first in self._starts(topic).items():
            for batch in self._watched(topic, partition, first, bounds[partition].end):
                show([header_of(message) for message in batch], see)

    def _watched(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Message]]:
        done = 0
        for batch in self._kafka.read(topic, {partition: (first, end)}):
            yield batch
            done += len(batch)
            self._progress(f"records of {topic}-{partition}", done, end - first)

    def _reconcile(
        self,
        topic: str,
        committed: dict[int, int],
        kind: Kind,
        documents: Documents,
        note: Callable[[list[Message]], None] = lambda _: None,
    ) -> None:
        bounds = self._bounds_of(topic)
        if not bounds:
            self.report.unsure.append(f"no topic {topic}; `vigil up` creates it")
            return
        since = self._kafka.at_time(topic, self._since_ms, bounds) if self._since_ms is not None else {}
        starts = self._starts(topic)
        see = self._accounts.watcher(topic)
        for partition, bound in bounds.items():
            report = self._range(topic, partition, bound, committed.get(partition, -1), since.get(partition, 0))
            self.report.partitions.append(report)
            first = min(starts[partition], report.verified_from)
            batches = self._noted(self._watched(topic, partition, first, bound.end), note)
            clean = True
            for position, lost in reconcile(batches, kind, documents, report, see):
                self.report.add_lost(lost)
                if lost and clean:
                    clean = False
                    self._after.offsets[f"{topic}-{partition}"] = lost[0].offset
                elif clean and position > report.verified_from:
                    self._after.offsets[f"{topic}-{partition}"] = min(position, report.verified_to)
                self._save_if_due()

    @staticmethod
    def _noted(batches: Iterator[list[Message]], note: Callable[[list[Message]], None]) -> Iterator[list[Message]]:
        for batch in batches:
            note(batch)
            yield batch

    def _range(self, topic: str, partition: int, bound: Bounds, committed: int, since: int) -> PartitionReport:
        """What of a partition is to be held against documents."""
        proven = self._before.offsets.get(f"{topic}-{partition}", 0)
        where = f"{topic}-{partition}"
        if max(committed, proven) > bound.end:
            self.report.unsure.append(
                f"{where} ends at {bound.end}, and {max(committed, proven)} was reached once: was the topic made anew?"
            )
            committed = min(committed, bound.end)
            proven = 0
        if committed < 0 and bound.start > 0:
            self.report.unsure.append(f"{where} begins at {bound.start}, and its indexer has not committed anything")
        first = max(bound.start, since, proven)
        report = PartitionReport(topic, partition, bound.start, first, max(first, committed), bound.end)
        report.lag = bound.end - max(committed, bound.start)
        if 0 <= committed < bound.start:
            report.deleted_unread = bound.start - committed
        return report

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self._save()

    def _save(self) -> None:
        """Not where a time was given: then what came before it is not proven."""
        if self._since_ms is None:
            states.save(self._settings, self._after)
        self._saved_at = time.monotonic()

    # ------------------------------------------------------------------------------------------- accounts

    def _settle_accounts(self, documents: dict[str, Documents]) -> None:
        self.report.gaps += superseded(self._accounts)
        for account in sorted(self._accounts.by_key.values(), key=lambda a: (a.key.rpartition(".")[0], a.heard_ms)):
            self._settle_account(account, documents)

    def _settle_account(self, account: Account, documents: dict[str, Documents]) -> None:
        self._ask_for_the_beginning(account)
        unseen = list(account.missing())
        found = self._report_of(account, unseen)
        self.report.accounts.append(found)
        gaps = [*account.gaps, *self._silence(account)]
        self.report.gaps += gaps
        missing: list[Missing] = []
        for one in unseen:
            left = self._not_in_elasticsearch(account, one, documents.get(one.place))
            found.in_elasticsearch_only += one.events - left
            if left:
                one.events = left
                missing.append(one)
        found.missing_events = sum(m.events for m in missing)
        self.report.missing += missing
        unproven = [m.first for m in missing] + [g.first for g in gaps if g.lost]
        self._after.sequences[account.key] = min([account.last, *(n - 1 for n in unproven)])

    def _ask_for_the_beginning(self, account: Account) -> None:
        """A ledger that begins in the middle has lost its beginning: with it went what would show a loss."""
        proven = self._before.sequences.get(account.key, 0)
        told_from = account.told_from or 1
        if self._is_ledger_whole and told_from > proven + 1:
            self.report.unsure.append(
                f"{account.key}: its ledger begins at sequence {told_from}, so Kafka has lost what it said before (a "
                f"restore does not bring it back). What became of sequences {proven + 1}-{told_from - 1} only their "
                "documents tell; --since leaves them out"
            )

    def _silence(self, account: Account) -> Iterator[Gap]:
        for first, last in account.silent():
            yield Gap(account.key, first, last, "not in the ledger")

    def _not_in_elasticsearch(self, account: Account, missing: Missing, documents: Documents | None) -> int:
        """How many of these are not documents either: a topic that was made anew has lost its records, not these."""
        if documents is None:
            return missing.events
        left = 0
        names: list[str] = []
        for name in account.sources(missing):
            names.append(name)
            if len(names) == 1_000:
                left += len(names) - len(documents.with_sources(names))
                names = []
        return left + (len(names) - len(documents.with_sources(names)) if names else 0)

    @staticmethod
    def _report_of(account: Account, unseen: list[Missing]) -> AccountReport:
        return AccountReport(
            account.key,
            account.first or 0,
            account.last,
            account.chunks,
            account.events,
            dict(account.in_kafka(unseen)),
            dict(account.elsewhere),
            max(0, account.next_sequence - max(account.last + 1, account.first or 1)),
            account.too_old,
            heard_ms=account.heard_ms,
        )
