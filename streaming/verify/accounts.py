"""Accumulators' accounts against what Kafka holds: each event a bit, set when its record is seen. Pure.

100 million events take 12.5 MB of bits, and each chunk 10 bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from streaming.accumulator.delivery import ledger
from streaming.accumulator.delivery.ledger import DAMAGED, Page, ranges_of
from streaming.verify.report import Gap, Missing

_ODD = 0xFFFF
"""In place of a topic's number: the chunk's events are not all once in one topic."""


class Topics:
    """Numbers for names of topics."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Of a topic, from 0."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found


@dataclass
class _Places:
    """Where the ledger says that events of one odd chunk are, in one topic. `count` where it says only how many."""

    expected: int
    """Bits of positions."""
    count: int = 0
    seen: int = 0


class _Segment:
    """Chunks without a gap between them."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.starts = array("Q", [0])
        """Index into `bits` of each chunk's first event, and behind the last."""
        self.topics = array("H")
        self.bits = bytearray()
        self.odd: dict[int, dict[int, _Places]] = {}

    @property
    def last(self) -> int:
        return self.first + len(self.topics) - 1

    def add(self, events: int, topic: int) -> None:
        """The next chunk."""
        self.topics.append(topic)
        end = self.starts[-1] + (0 if topic == _ODD else events)
        self.starts.append(end)
        self.bits.extend(bytes((end + 7) // 8 - len(self.bits)))

    def see(self, topic: int, sequence: int, position: int) -> None:
        """A record of one of these chunks."""
        index = sequence - self.first
        if self.topics[index] == topic:
            slot = self.starts[index] + position
            if slot < self.starts[index + 1]:
                self.bits[slot >> 3] |= 1 << (slot & 7)
        elif self.topics[index] == _ODD:
            places = self.odd[sequence].get(topic)
            if places is not None:
                places.seen |= 1 << position

    def holes(self) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
        """Sequence, topic and ranges of positions that were not seen, in order."""
        total = self.starts[-1]
        index = slot = 0
        while (slot := self._next_hole(slot, total)) < total:
            index = bisect_right(self.starts, slot) - 1
            first, end = self.starts[index], self.starts[index + 1]
            yield self.first + index, self.topics[index], _ranges(self._unseen(first, end))
            slot = end
        for sequence in sorted(self.odd):
            for topic, places in self.odd[sequence].items():
                left = places.expected & ~places.seen
                if left:
                    yield sequence, topic, _ranges(left)
                elif places.seen.bit_count() < places.count:
                    yield sequence, topic, [(0, places.count - places.seen.bit_count() - 1)]

    def _unseen(self, first: int, end: int) -> int:
        """Bits of the slots from `first` to before `end` that were not seen, counted from `first`."""
        seen = int.from_bytes(self.bits[first >> 3 : (end + 7) >> 3], "little") >> (first & 7)
        return ~seen & ((1 << (end - first)) - 1)

    def _next_hole(self, slot: int, total: int) -> int:
        while slot < total:
            if slot & 7 == 0:
                at = slot >> 3
                while self.bits[at : at + 4096] == _ALL_SEEN:
                    at += 4096
                while at < len(self.bits) and self.bits[at] == 0xFF:
                    at += 1
                if at << 3 > slot:
                    slot = at << 3
                    continue
            if not self.bits[slot >> 3] >> (slot & 7) & 1:
                return slot
            slot += 1
        return total

    def events_of(self, index: int) -> int:
        return self.starts[index + 1] - self.starts[index]


_ALL_SEEN = b"\xff" * 4096


def _ranges(bits: int) -> list[tuple[int, int]]:
    """Runs of ones, by first and last position."""
    found: list[tuple[int, int]] = []
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        bits >>= ones
        found.append((at + zeros, at + zeros + ones - 1))
        at += zeros + ones
    return found


@dataclass
class Account:
    """One incarnation. Pages in any order; what is said twice counts once."""

    key: str
    topics: Topics
    elsewhere: Counter[str] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)
    events: int = 0
    first: int | None = None
    """The first sequence that the ledger has."""
    told_from: int | None = None
    """What came before, no page speaks of, not even as what was delivered before."""
    next_sequence: int = 1
    """How far it was spooled when last heard of."""
    started_ms: int = 0
    heard_ms: int = 0
    too_old: int = 0
    _segments: list[_Segment] = field(default_factory=list)
    _known: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of sequences that pages have told of, apart from each other, in order."""

    def add(self, page: Page, appended_ms: int, *, checked: bool = True) -> None:
        """Takes in a page. `checked` false: its records may be gone from Kafka, so they are not looked for."""
        known = self._knows
        for kind, spans in page.gaps.items():
            for span in spans:
                if not known(span.first):
                    self.gaps.append(
                        Gap(self.key, span.first, span.last, kind.strip("<>"), span.events, lost=kind == DAMAGED)
                    )
        if not checked:
            self.too_old += sum(1 for e in ledger.entries(page) if not known(e.sequence))
        else:
            for entry in ledger.entries(page):
                if not known(entry.sequence):
                    self._add(entry)
        self.pass_over(page, appended_ms)

    def pass_over(self, page: Page, appended_ms: int) -> None:
        """Takes note of a page whose chunks were proven before."""
        self.next_sequence = max(self.next_sequence, page.next)
        self.heard_ms = max(self.heard_ms, appended_ms)
        self.started_ms = min(self.started_ms or appended_ms, appended_ms)
        self.told_from = page.first if self.told_from is None else min(self.told_from, page.first)
        if page.last >= page.first:
            self.first = page.first if self.first is None else min(self.first, page.first)
            self._cover(page.first, page.last)

    def _add(self, entry: ledger.Entry) -> None:
        segment = self._segments[-1] if self._segments else None
        if segment is None or entry.sequence != segment.last + 1:
            segment = _Segment(entry.sequence)
            at = bisect_right([s.first for s in self._segments], entry.sequence)
            self._segments.insert(at, segment)
        self.events += entry.events
        if entry.topic:
            segment.add(entry.events, self.topics.number(entry.topic))
            return
        segment.add(entry.events, _ODD)
        odd = segment.odd[entry.sequence] = {}
        for place, places in entry.fates.items():
            count = places if isinstance(places, int) else sum(b - a + 1 for a, b in ranges_of(places))
            if place.startswith("<"):
                self.elsewhere[place.strip("<>")] += count
            elif isinstance(places, int):
                odd[self.topics.number(place)] = _Places(0, count)
            else:
                bits = sum(((1 << (b - a + 1)) - 1) << a for a, b in ranges_of(places))
                odd[self.topics.number(place)] = _Places(bits, count)

    def _knows(self, sequence: int) -> bool:
        at = bisect_right(self._known, (sequence, _FAR)) - 1
        return at >= 0 and self._known[at][1] >= sequence

    def _cover(self, first: int, last: int) -> None:
        at = bisect_right(self._known, (first, _FAR))
        if at and self._known[at - 1][1] >= first - 1:
            at -= 1
            first = self._known[at][0]
        end = at
        while end < len(self._known) and self._known[end][0] <= last + 1:
            last = max(last, self._known[end][1])
            end += 1
        self._known[at:end] = [(first, last)]

    def see(self, topic: int, sequence: int, position: int) -> None:
        """A record with these coordinates is in that topic."""
        segments = self._segments
        if not segments:
            return
        segment = segments[-1]
        if sequence < segment.first:
            at = bisect_right(segments, sequence, key=lambda s: s.first) - 1
            if at < 0:
                return
            segment = segments[at]
        if sequence <= segment.last:
            segment.see(topic, sequence, position)

    @property
    def last(self) -> int:
        """The last sequence that the ledger has; 0 for none."""
        return self._known[-1][1] if self._known else 0

    @property
    def chunks(self) -> int:
        """That are looked for in Kafka, or said to be elsewhere."""
        return sum(len(s.topics) for s in self._segments)

    def silent(self) -> Iterator[tuple[int, int]]:
        """Ranges of sequences between the first and the last of which no page tells."""
        for (_, before), (after, _) in zip(self._known, self._known[1:], strict=False):
            yield before + 1, after - 1

    def in_kafka(self, missing: Iterable[Missing]) -> Counter[str]:
        """Events seen, by topic; `missing` is what was not."""
        found: Counter[str] = Counter()
        for segment in self._segments:
            for index, topic in enumerate(segment.topics):
                if topic != _ODD:
                    found[self.topics.names[topic]] += segment.events_of(index)
            for odd in segment.odd.values():
                for topic, places in odd.items():
                    found[self.topics.names[topic]] += places.count
        for hole in missing:
            found[hole.place] -= hole.events
        return +found

    def missing(self) -> Iterator[Missing]:
        """What was not seen. Whole chunks in a row are one."""
        waiting: Missing | None = None
        for segment in self._segments:
            for sequence, topic, ranges in segment.holes():
                place = self.topics.names[topic]
                events = sum(b - a + 1 for a, b in ranges)
                own = segment.topics[sequence - segment.first] == topic
                if own and events == segment.events_of(sequence - segment.first):
                    if waiting and waiting.place == place and waiting.last == sequence - 1:
                        waiting.last, waiting.events = sequence, waiting.events + events
                        continue
                    if waiting:
                        yield waiting
                    waiting = Missing(self.key, place, sequence, sequence, "", events)
                    continue
                if waiting:
                    yield waiting
                    waiting = None
                text = " ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
                yield Missing(self.key, place, sequence, sequence, text, events)
            if waiting:
                yield waiting
                waiting = None

    def sources(self, missing: Missing) -> Iterator[str]:
        """The names (`accumulator.incarnation:sequence:position`) of what is missing."""
        for sequence in range(missing.first, missing.last + 1):
            ranges = ranges_of(missing.positions) or [(0, self._events_of(sequence) - 1)]
            for first, last in ranges:
                yield from (f"{self.key}:{sequence}:{position}" for position in range(first, last + 1))

    def _events_of(self, sequence: int) -> int:
        at = bisect_right(self._segments, sequence, key=lambda s: s.first) - 1
        segment = self._segments[at]
        return segment.events_of(sequence - segment.first)


_FAR = 2**63


@dataclass
class Accounts:
    """All of them, by `accumulator.incarnation`."""

    topics: Topics = field(default_factory=Topics)
    by_key: dict[str, Account] = field(default_factory=dict)

    def of(self, key: str) -> Account:
        """One, made if need be."""
        found = self.by_key.get(key)
        if found is None:
            found = self.by_key[key] = Account(key, self.topics)
        return found

    def watcher(self, topic: str) -> Callable[[bytes], None]:
        """For the records of one topic: takes the coordinates as their header has them."""
        number = self.topics.number(topic)
        known = {_header_start(key): account for key, account in self.by_key.items()}

        def see(header: bytes) -> None:
            name, incarnation, sequence, position, _ = header.split(b":", 4)
            account = known.get(name + b":" + incarnation)
            if account is not None and sequence.isdigit() and position.isdigit():
                account.see(number, int(sequence), int(position))

        return see


def _header_start(key: str) -> bytes:
    name, _, incarnation = key.rpartition(".")
    return f"{name}:{incarnation}".encode()


def superseded(accounts: Accounts) -> Iterator[Gap]:
    """Incarnations that ended with a backlog, since their spool's folder was deleted or replaced."""
    by_name: dict[str, list[Account]] = {}
    for account in accounts.by_key.values():
        by_name.setdefault(account.key.rpartition(".")[0], []).append(account)
    for same in by_name.values():
        for account in same:
            behind = max(account.last + 1, account.first or 1)
            replaced = any(o is not account and o.started_ms > account.heard_ms for o in same)
            if replaced and account.next_sequence > behind:
                yield Gap(account.key, behind, account.next_sequence - 1, "spooled, and its spool is gone")
