"""Brings dead letters back into the logs: the original bytes under their first coordinates.

In this order, batch by batch: (1) a receipt for each letter, `planned`, with its number in the replay; (2) the records,
confirmed by Kafka; (3) the receipts, `sent`. Killed between any two of these, the next replay first takes up what is
planned, with the same numbers. So each letter comes back at least once; the second time the document's `_id` answers
"duplicate" and the matcher knows the number. Afterwards the documents of the letters are marked; what could not be
marked (Elasticsearch was away) is marked by the next replay.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from streaming import decoding
from streaming.dead_letters.document import document_id, index_day, index_of
from streaming.dead_letters.finding import DeadLetterSearch
from streaming.dead_letters.letters import DeadLetter, Place
from streaming.dead_letters.reading import LetterReader
from streaming.dead_letters.receipts import Receipt, ReceiptBook, Receipts, read_receipts
from streaming.events import coordinates
from streaming.events.coordinates import Replay
from streaming.indexer.identity import index_name
from streaming.kafka import clients, topics
from streaming.kafka.delivery import Delivery, Headers
from streaming.rolling.writable import writable
from streaming.settings import Settings

BATCH_LETTERS = 500
BATCH_BYTES = 8 * 1024 * 1024
"""A batch is in memory while it is on its way; both transactions of one take some 20 ms."""

LOG_LIMIT = 1_040_000
"""Bytes of a record that topic `logs` takes: Kafka's default of 1,048,588 less what a record and its headers need."""


@dataclass
class Outcome:
    """What a replay did, in letters.

    `resumed`: of an earlier replay that was broken off. `already`: replayed before, and not again. `too_large`: more
    than topic `logs` takes.
    """

    replay_id: str
    replayed: int = 0
    resumed: int = 0
    already: int = 0
    too_large: list[str] = field(default_factory=list)


def new_replay_id(now_ms: int) -> str:
    """Unique, and in order of time."""
    return f"dl-{now_ms}-{secrets.token_hex(4)}"


def record_of(letter: DeadLetter, replay_id: str, sequence: int) -> tuple[bytes | None, Headers]:
    """Key and headers of the record that brings a letter back; its value is the letter's."""
    if letter.coordinates is not None:
        headers = [(coordinates.HEADER, coordinates.encode(letter.coordinates))]
        replay = Replay(replay_id, sequence)
    else:
        received_ns = letter.received_ns if letter.received_ns is not None else letter.appended_ms * 1_000_000
        headers, replay = [], Replay(replay_id, sequence, received_ns, letter.source)
    headers.append((coordinates.REPLAY_HEADER, coordinates.encode_replay(replay)))
    return letter.key if letter.key is not None else _node_of(letter.value), headers


class _Node(msgspec.Struct):
    node_id: str | int | None = None


_node = decoding.decoder(_Node)


def _node_of(value: bytes) -> bytes | None:
    """The key that an accumulator would have given it: without it a node's logs would come out of order."""
    try:
        found = _node.decode(value).node_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return str(found).encode("utf-8", "surrogatepass") or None if found is not None else None


class Replayer:
    """Replays letters; one at a time in an installation (see `ReceiptBook`).

    Raises: Unavailable, where Kafka does not answer; Fenced, where another replay was started meanwhile. What was done
    until then is kept, and the next replay goes on from there.
    """

    def __init__(self, settings: Settings, clock_ms: Callable[[], int]) -> None:
        self._settings, self._clock_ms = settings, clock_ms
        self._book = ReceiptBook(settings)
        # After the book is ours: what a replay that was killed has left open is settled then.
        self.receipts: Receipts = read_receipts(settings, wait_for_open=True)
        self._out = Delivery(clients.producer(settings.kafka, message_max_bytes=LOG_LIMIT + 100_000))
        self._logs = settings.topic(topics.LOGS)
        self._outcome = Outcome(new_replay_id(clock_ms()))
        self._sequence = 0
        self._resumed: set[str] = set()

    def run(
        self,
        letters: Iterable[DeadLetter],
        *,
        again: bool = False,
        progress: Callable[[int], None] = lambda _letters: None,
    ) -> Outcome:
        """Takes up what an earlier replay has left, then replays these letters.

        Args:
            again: also those that were replayed before.
            progress: called after each batch with the letters it took.
        """
        self._take_up()
        seen: set[str] = set()
        for batch in _batches(letters):
            planned: list[tuple[str, DeadLetter, Receipt]] = []
            for letter in batch:
                name = document_id(letter)
                if name in seen:  # written twice by its worker
                    continue
                seen.add(name)
                if self._is_to_go(name, letter, again):
                    planned.append((name, letter, self._plan(letter)))
            self._book.write({name: receipt for name, _, receipt in planned})
            with writable(self._settings, self._indices(planned)):
                self._send(planned)
            self._outcome.replayed += len(planned)
            progress(len(batch))
        return self._outcome

    def mark(self, search: DeadLetterSearch) -> int:
        """Marks the documents of all that was sent and not marked; how many are left.

        Raises:
            Unavailable: Elasticsearch (or Kafka) does not answer; the next replay tries again.
        """
        open_ = {name: r for name, r in self.receipts.items() if r.sent and not r.marked}
        with writable(self._settings, {receipt.index for receipt in open_.values() if receipt.index}):
            marked = search.mark((r.index, name, r.replay_id, r.at_ms) for name, r in open_.items())
        done = {name: msgspec.structs.replace(open_[name], marked=True) for name in marked}
        for part in _parts(done):
            self._book.write(part)
        self.receipts |= done
        return len(open_) - len(marked)

    def _is_to_go(self, name: str, letter: DeadLetter, again: bool) -> bool:
        if name in self._resumed:
            return False
        receipt = self.receipts.get(name)
        # One that is planned only, and was not taken up, lies elsewhere now: the topic was made anew.
        if receipt is not None and receipt.sent and not again:
            self._outcome.already += 1
            return False
        if len(letter.value) > LOG_LIMIT:
            self._outcome.too_large.append(name)
            return False
        return True

    def _plan(self, letter: DeadLetter) -> Receipt:
        self._sequence += 1
        now_ms = self._clock_ms()
        index = index_of(letter, self._settings.index_prefix, self._settings.retention_days, now_ms * 1_000_000)
        return Receipt(
            replay_id=self._outcome.replay_id,
            sequence=self._sequence,
            partition=letter.partition,
            offset=letter.offset,
            index=index or "",
            at_ms=now_ms,
            marked=index is None,  # its document was deleted with its day
        )

    def _indices(self, planned: list[tuple[str, DeadLetter, Receipt]]) -> set[str]:
        """Where documents of these letters may come to lie: which class of the day a log is of, its parsing tells."""
        days = {index_day(letter, self._clock_ms() * 1_000_000) for _, letter, _ in planned}
        return {index_name(self._settings.index_prefix, day, "*") for day in days}

    def _send(self, planned: list[tuple[str, DeadLetter, Receipt]]) -> None:
        for _, letter, receipt in planned:
            key, headers = record_of(letter, receipt.replay_id, receipt.sequence)
            self._out.send(self._logs, letter.value, key=key, headers=headers)
        self._out.settle()
        sent = {name: msgspec.structs.replace(receipt, sent=True) for name, _, receipt in planned}
        self._book.write(sent)
        self.receipts |= sent

    def _take_up(self) -> None:
        """Sends what is planned and was not confirmed; forgets receipts whose letters Kafka has deleted."""
        with LetterReader(self._settings) as reader:
            earliest = reader.earliest()
            gone = [n for n, r in self.receipts.items() if r.offset < earliest.get(r.partition, 0)]
            self._book.write({}, gone)
            for name in gone:
                del self.receipts[name]
            places = {Place(r.partition, r.offset): n for n, r in self.receipts.items() if not r.sent}
            if not places:
                return
            for batch in _batches(reader.at(places)):
                named = [(places[letter.place], letter) for letter in batch]
                planned = [
                    (name, letter, self.receipts[name])
                    for name, letter in named
                    if document_id(letter) == name  # else the topic was made anew, and another letter lies there
                ]
                planned.sort(key=lambda p: (p[2].replay_id, p[2].sequence))
                self._send(planned)
                self._resumed.update(name for name, _, _ in planned)
                self._outcome.resumed += len(planned)


def _batches(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter.value)
        if len(batch) >= BATCH_LETTERS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parts(receipts: Receipts) -> Iterator[Receipts]:
    names = list(receipts)
    for start in range(0, len(names), 10_000):
        yield {name: receipts[name] for name in names[start : start + 10_000]}
