"""What an accumulator says of every sequence that it has spooled: pages of topic `accumulator-ledger`. Pure.

A page covers sequences without a gap. It is in Kafka before the spool's cursor moves over them, so whatever is
killed, every sequence below the cursor is in the ledger; one that is there twice says the same, or says more (after
a crash a chunk is delivered again, and Kafka may refuse what it took before).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import msgspec

from streaming import decoding

NOWHERE = "<nowhere>"
"""Filtered out, or routed to `@type null`."""
STDOUT = "<stdout>"
FILE = "<file>"
"""Written by `@type file`."""
SECONDARY = "<secondary>"
"""Kept in a file of `<secondary>`, since Kafka did not take it."""
DAMAGED = "<damaged>"
"""Acknowledged once and no longer readable on the spool's disk: lost, unless the segment set aside can be read."""
IN_DOUBT = "<in-doubt>"
"""The unreadable end of what was being written at a power loss; most likely never acknowledged."""
DROPPED = "<dropped>"
"""Deleted to make room, by configuration."""
# No topic can be called so: Kafka's names have no angle brackets.

PLACES_LIMIT = 64 * 1024
"""Most characters that the places of one chunk may take; beyond, their numbers alone are written. A page must stay
far below Kafka's 1 MB: a chunk may hold 22 million events."""

Places = str | int
"""Positions as text ("0-9 11 13"), or only how many there are."""


class Entry(NamedTuple):
    """One chunk: how many events, and that each is once in `topic`; where that is empty, `fates` says which are where.

    In `fates`, keys are topics or one of the words above; an event may be at several (`copy`).
    """

    sequence: int
    events: int
    topic: str
    fates: dict[str, Places]


class Span(NamedTuple):
    """Sequences of which no chunk is left; `events` None: not known."""

    first: int
    last: int
    events: int | None


class Page(msgspec.Struct, omit_defaults=True):
    """One record of the ledger, as JSON. Its key is `accumulator.incarnation`.

    `first` to `last` are covered (none where `last` is below `first`: a sign of life). `next` is the sequence that the
    next chunk will have: what lies between is spooled and not yet delivered. `from_ns` is when the first of these
    chunks was handed to the Kafka client, so a topic holds none of its records before; `at_ns` when this was written.
    `runs` are the chunks in order, as (index into `topics`, numbers of events), such as (0, "20*3 17"); index -1 is a
    chunk whose events `fates` has, by sequence. `gaps` are the sequences within that have no chunk any more.
    """

    accumulator: str
    incarnation: str
    first: int
    last: int
    next: int
    from_ns: int
    at_ns: int
    start: bool = False
    """The first page of this process."""
    end: bool = False
    """The last page of this process, which closed in order."""
    topics: list[str] = []
    runs: list[tuple[int, str]] = []
    fates: dict[int, dict[str, Places]] = {}
    gaps: dict[str, list[Span]] = {}

    @property
    def key(self) -> str:
        """`accumulator.incarnation`."""
        return f"{self.accumulator}.{self.incarnation}"


_decoder = decoding.decoder(Page)
encode = msgspec.json.Encoder().encode


def decode(value: bytes) -> Page:
    """Reads a page.

    Raises:
        ValueError: it is none.
    """
    page = _decoder.decode(value)
    if sum(1 for _ in entries(page)) + sum(s.last - s.first + 1 for s in _spans(page)) != page.last - page.first + 1:
        raise ValueError(f"the page of {page.key} does not hold sequences {page.first} to {page.last}")
    return page


def entries(page: Page) -> Iterator[Entry]:
    """The chunks of a page in order. Raises ValueError for numbers that are none."""
    spans = iter(sorted(_spans(page)))
    span = next(spans, None)
    sequence = page.first
    for index, counts in page.runs:
        for events in _numbers(counts):
            while span is not None and span.first <= sequence:
                sequence, span = span.last + 1, next(spans, None)
            fates = page.fates.get(sequence, {}) if index < 0 else {}
            yield Entry(sequence, events, page.topics[index] if index >= 0 else "", fates)
            sequence += 1


def _spans(page: Page) -> list[Span]:
    return [span for spans in page.gaps.values() for span in spans]


def _numbers(text: str) -> Iterator[int]:
    for word in text.split():
        number, _, times = word.partition("*")
        for _ in range(int(times or 1)):
            yield int(number)


@dataclass
class Draft:
    """A page that grows by chunks in order of sequence."""

    first: int
    last: int = field(init=False)
    events: int = 0
    size: int = 0
    """Characters of all fates."""
    from_ns: int = 0
    _entries: list[Entry] = field(default_factory=list)
    _gaps: dict[str, list[Span]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last = self.first - 1

    def add(self, entry: Entry, from_ns: int) -> None:
        """The next chunk. Raises ValueError where it does not follow."""
        if entry.sequence != self.last + 1:
            raise ValueError(f"sequence {entry.sequence} does not follow {self.last}")
        self.last = entry.sequence
        self.events += entry.events
        self.from_ns = min(self.from_ns or from_ns, from_ns)
        self._entries.append(entry)
        if entry.fates:
            self.size += sum(len(places) if isinstance(places, str) else 10 for places in entry.fates.values())

    def skip(self, kind: str, last: int, events: int | None) -> None:
        """The next sequences, up to `last`, have no chunk any more; `kind` is DAMAGED, IN_DOUBT or DROPPED."""
        self._gaps.setdefault(kind, []).append(Span(self.last + 1, last, events))
        self.last = last

    def page(self, accumulator: str, incarnation: str, next_sequence: int, at_ns: int) -> Page:
        """As it stands."""
        topics = list(dict.fromkeys(e.topic for e in self._entries if e.topic))
        index = {topic: n for n, topic in enumerate(topics)} | {"": -1}
        return Page(
            accumulator,
            incarnation,
            self.first,
            self.last,
            next_sequence,
            self.from_ns or at_ns,
            at_ns,
            topics=topics,
            runs=[
                (index[topic], _counts(e.events for e in run))
                for topic, run in groupby(self._entries, key=lambda e: e.topic)
            ],
            fates={e.sequence: e.fates for e in self._entries if not e.topic},
            gaps=dict(self._gaps),
        )


def _counts(numbers: Iterable[int]) -> str:
    runs = ((number, sum(1 for _ in run)) for number, run in groupby(numbers))
    return " ".join(f"{number}*{times}" if times > 1 else str(number) for number, times in runs)


class Fates:
    """Collects, while a chunk is converted and delivered, what becomes of its events."""

    __slots__ = ("_added", "_removed", "_runs", "events")

    def __init__(self) -> None:
        self.events = 0
        self._runs: list[tuple[int, tuple[str, ...]]] = []
        self._added: dict[tuple[int, str], None] = {}
        self._removed: set[tuple[int, str]] = set()

    def turn(self, position: int, places: tuple[str, ...]) -> None:
        """From this position on, events go to these places."""
        if not self._runs or self._runs[-1][1] != places:
            self._runs.append((position, places))

    def also(self, position: int, place: str) -> None:
        """One event goes there too."""
        self._added[position, place] = None

    def instead(self, position: int, place: str, other: str) -> None:
        """One event that was to go to `place` goes to `other`."""
        if (position, place) in self._added:
            del self._added[position, place]
        else:
            self._removed.add((position, place))
        self._added[position, other] = None

    def entry(self, sequence: int) -> Entry:
        """For the ledger; call when all is settled."""
        if len(self._runs) == 1 and not self._added and not self._removed:
            places = self._runs[0][1]
            if len(places) == 1 and not places[0].startswith("<"):
                return Entry(sequence, self.events, places[0], {})
        return Entry(sequence, self.events, "", self._fates())

    def _fates(self) -> dict[str, Places]:
        ranges: dict[str, list[tuple[int, int]]] = {}
        ends = [start for start, _ in self._runs[1:]] + [self.events]
        for (start, places), end in zip(self._runs, ends, strict=True):
            for place in dict.fromkeys(places or (NOWHERE,)):
                ranges.setdefault(place, []).append((start, end - 1))
        removed: dict[str, set[int]] = {}
        for position, place in self._removed:
            removed.setdefault(place, set()).add(position)
        for place, positions in removed.items():
            ranges[place] = list(_without(ranges.get(place, []), sorted(positions)))
        for position, place in self._added:
            ranges.setdefault(place, []).append((position, position))
        return {place: _places(found) for place, found in ranges.items() if found}


def _without(ranges: Sequence[tuple[int, int]], positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Both in order."""
    at = 0
    for first, last in ranges:
        while at < len(positions) and positions[at] <= last:
            if positions[at] > first:
                yield first, positions[at] - 1
            first = positions[at] + 1
            at += 1
        if first <= last:
            yield first, last


def _places(ranges: Iterable[tuple[int, int]]) -> Places:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    text = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in joined)
    return text if len(text) <= PLACES_LIMIT else sum(last - first + 1 for first, last in joined)


def ranges_of(places: str) -> list[tuple[int, int]]:
    """First and last positions of what `Places` says as text. Raises ValueError."""
    found = []
    for word in places.split():
        first, _, last = word.partition("-")
        found.append((int(first), int(last or first)))
    return found
