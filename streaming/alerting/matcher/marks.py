"""High-water marks: which records of a partition were evaluated already (design decision 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from streaming.events.coordinates import Coordinates, Replay
from streaming.kafka import topics
from streaming.kafka.compacted import readable

Origin = tuple[int, str]
"""A partition, and the accumulator's name and incarnation, or `replay|` and the id of a replay."""


class KeptMark(msgspec.Struct, kw_only=True):
    """The last record evaluated of one origin (topic `matcher-marks`, key `partition|accumulator.incarnation`).

    Of a replay `sequence` is the record's number in it, and `position` is 0. `at_ms` is when the mark last moved; 0:
    not known.
    """

    sequence: int
    position: int
    at_ms: int = 0


KEPT_MS = 90 * 86_400_000
"""A mark that has not moved for so long goes when its partition is next taken over: replays and incarnations come to an
end, their marks would stay for ever. Kafka keeps the logs for days; only a spool that lay still for longer than this,
and whose accumulator had been killed, could bring a repeat that is then taken for new."""


class Mark:
    """Where an origin stands in a partition."""

    __slots__ = ("has_moved", "position", "sequence")

    def __init__(self, sequence: int, position: int) -> None:
        self.sequence, self.position = sequence, position
        self.has_moved = False

    def passes(self, sequence: int, position: int) -> bool:
        """Whether a record at this place is new; the mark then moves up to it."""
        if sequence < self.sequence or (sequence == self.sequence and position <= self.position):
            return False
        self.sequence, self.position, self.has_moved = sequence, position, True
        return True


class Marks:
    """The marks of the partitions in hand.

    Within a partition one accumulator incarnation's records come in order of (sequence, position). One that is
    not above the mark is therefore a repeat: a chunk that was produced again after a crash of its accumulator.
    """

    def __init__(self) -> None:
        self._marks: dict[Origin, Mark] = {}
        self._asked: set[Origin] = set()
        self._gone: set[Origin] = set()

    def passes(self, partition: int, at: Coordinates) -> bool:
        """Whether the record is new; the mark then moves up to it."""
        return self.of(partition, at).passes(at.sequence, at.position)

    def of(self, partition: int, at: Coordinates) -> Mark:
        """The mark of a record's origin, to be asked directly until `saved`, `forget` or `restore` is called."""
        return self._of((partition, f"{at.accumulator}.{at.incarnation}"))

    def passes_replayed(self, partition: int, replay: Replay) -> bool:
        """Whether a record that a replay brought back is new to that replay, whatever its first coordinates say.

        It was a dead letter then and is evaluated now. Its numbers rise within a partition, so what a replay that
        was killed writes again is known.
        """
        return self._of((partition, f"replay|{replay.replay_id}")).passes(replay.sequence, 0)

    def _of(self, origin: Origin) -> Mark:
        self._asked.add(origin)
        mark = self._marks.get(origin)
        if mark is None:
            mark = self._marks[origin] = Mark(0, -1)
        return mark

    def moved(self, now_ms: int) -> list[tuple[bytes, bytes | None]]:
        """Marks that moved since `saved`, as records; None for those that are given up."""
        moved = sorted(origin for origin in self._asked if self._marks[origin].has_moved)
        records: list[tuple[bytes, bytes | None]] = [
            (_key(origin), _kept(self._marks[origin], now_ms)) for origin in moved
        ]
        return records + [(_key(origin), None) for origin in sorted(self._gone.difference(moved))]

    def saved(self) -> None:
        """What `moved` gave was committed."""
        for origin in self._asked:
            self._marks[origin].has_moved = False
        self._asked.clear()
        self._gone.clear()

    def restore(self, partitions: Collection[int], records: Mapping[bytes, bytes], now_ms: int) -> None:
        """Takes over partitions with the marks as they were committed."""
        self.forget(partitions)
        own_records = {key: value for key, value in records.items() if _partition(key) in partitions}
        for key, mark in readable(own_records, KeptMark, topics.MATCHER_MARKS, "matcher").items():
            own = (_partition(key), _origin(key))
            if mark.at_ms and now_ms - mark.at_ms > KEPT_MS:
                self._gone.add(own)
                continue
            restored = self._marks[own] = Mark(mark.sequence, mark.position)
            if not mark.at_ms:  # written before marks had a time: it counts from now
                restored.has_moved = True
                self._asked.add(own)

    def forget(self, partitions: Collection[int]) -> None:
        """The partitions are no longer in hand."""
        self._marks = {origin: mark for origin, mark in self._marks.items() if origin[0] not in partitions}
        self._asked = {origin for origin in self._asked if origin[0] not in partitions}
        self._gone = {origin for origin in self._gone if origin[0] not in partitions}


def _partition(key: bytes) -> int:
    """The partition that a mark's key names; -1, which nobody owns, for a key that names none."""
    digits = key.partition(b"|")[0]
    return int(digits) if digits.isdigit() else -1


def _kept(mark: Mark, now_ms: int) -> bytes:
    return msgspec.json.encode(KeptMark(sequence=mark.sequence, position=mark.position, at_ms=now_ms))


def _key(origin: Origin) -> bytes:
    # A forged header may name an accumulator that is no UTF-8, as `coordinates.decode` reads it.
    return f"{origin[0]}|{origin[1]}".encode("utf-8", "surrogatepass")


def _origin(key: bytes) -> str:
    try:
        text = key.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # none of this matcher's
        text = key.decode("utf-8", "replace")
    return text.partition("|")[2]
