"""The letters that a replay is about: counted and shown first, then read whole from Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from streaming.dead_letters.document import document_id
from streaming.dead_letters.finding import DeadLetterSearch, Found, Selection
from streaming.dead_letters.letters import DeadLetter
from streaming.dead_letters.reading import LetterReader
from streaming.dead_letters.receipts import Receipts

SAMPLES = 3

STRETCH = 5_000
"""Documents whose letters are looked for in one go."""


@dataclass
class Preview:
    """How many letters would be replayed, by reason, and the first few of them."""

    reasons: Counter[str] = field(default_factory=Counter)
    samples: list[DeadLetter] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Of all reasons."""
        return self.reasons.total()


class Candidates(Protocol):
    """Where the letters of a selection are looked for. `gone` counts those that Kafka has no more."""

    gone: int

    def preview(self) -> Preview:
        """Counts them without reading them all, where that is possible."""
        ...

    def letters(self) -> Iterator[DeadLetter]:
        """All of them, whole."""
        ...


class FromElasticsearch:
    """Letters by their documents, whose places in Kafka are then read."""

    def __init__(self, search: DeadLetterSearch, reader: LetterReader, selection: Selection, *, again: bool) -> None:
        self._search, self._reader, self._selection, self._again = search, reader, selection, again
        self.gone = 0

    def preview(self) -> Preview:
        """By Elasticsearch's count; the letters that were sent and not yet marked are still in it."""
        reasons = self._search.counts(self._selection, replayed_too=self._again)
        first = list(islice(self._meant(), SAMPLES))
        return Preview(reasons, list(self._read(first)))

    def letters(self) -> Iterator[DeadLetter]:
        """In the order of their places."""
        self.gone = 0
        meant = self._meant()
        while part := list(islice(meant, STRETCH)):
            read = 0
            for letter in self._read(part):
                read += 1
                yield letter
            self.gone += len(part) - read

    def _meant(self) -> Iterator[Found]:
        for found in self._search.all(self._selection):
            if self._again or not found.replayed:
                yield found

    def _read(self, part: Iterable[Found]) -> Iterator[DeadLetter]:
        ids = {found.place: found.id for found in part}
        for letter in self._reader.at(ids):
            # Another letter lies there if the topic was made anew.
            if ids.get(letter.place) == document_id(letter):
                yield letter


class FromKafka:
    """Letters by reading the whole topic: slower, and works while Elasticsearch is away."""

    def __init__(self, reader: LetterReader, selection: Selection, receipts: Receipts, *, again: bool) -> None:
        self._reader, self._selection, self._receipts, self._again = reader, selection, receipts, again
        self.gone = 0

    def preview(self) -> Preview:
        """Reads them all."""
        found, seen = Preview(), set[str]()
        for letter in self.letters():
            name = document_id(letter)
            if name in seen:
                continue
            seen.add(name)
            found.reasons[letter.reason] += 1
            if len(found.samples) < SAMPLES:
                found.samples.append(letter)
        return found

    def letters(self) -> Iterator[DeadLetter]:
        """In the order of their places."""
        for letter in self._reader.scan(self._selection.since_ms):
            receipt = self._receipts.get(document_id(letter))
            if self._selection.takes(letter) and (self._again or receipt is None or not receipt.sent):
                yield letter
