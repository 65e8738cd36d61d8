"""High-water marks: which records of a partition were evaluated already (design decision 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from streaming.events.coordinates import Coordinates, Replay

Origin = tuple[int, str]
"""A partition, and the accumulator's name and incarnation, or `replay|` and the id of a replay."""


class Mark(msgspec.Struct, kw_only=True):
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


class Marks:
    """The marks of the partitions in hand.

    Within a partition one accumulator incarnation's records come in order of (sequence, position). One that is
    not above the mark is therefore a repeat: a chunk that was produced again after a crash of its accumulator.
    """

    def __init__(self) -> None:
        self._marks: dict[Origin, tuple[int, int]] = {}
        self._moved: set[Origin] = set()
        self._gone: set[Origin] = set()

    def passes(self, partition: int, at: Coordinates) -> bool:
        """Whether the record is new; the mark then moves up to it."""
        return self._moves((partition, f"{at.accumulator}.{at.incarnation}"), (at.sequence, at.position))

    def passes_replayed(self, partition: int, replay: Replay) -> bool:
        """Whether a record that a replay brought back is new to that replay, whatever its first coordinates say.

        It was a dead letter then and is evaluated now. Its numbers rise within a partition, so what a replay that
        was killed writes again is known.
        """
        return self._moves((partition, f"replay|{replay.replay_id}"), (replay.sequence, 0))

    def _moves(self, origin: Origin, here: tuple[int, int]) -> bool:
        if here <= self._marks.get(origin, (0, -1)):
            return False
        self._marks[origin] = here
        self._moved.add(origin)
        self._gone.discard(origin)
        return True

    def moved(self, now_ms: int) -> list[tuple[bytes, bytes | None]]:
        """Marks that moved since `saved`, as records; None for those that are given up."""
        records: list[tuple[bytes, bytes | None]] = [
            (_key(origin), msgspec.json.encode(Mark(sequence=at[0], position=at[1], at_ms=now_ms)))
            for origin, at in ((origin, self._marks[origin]) for origin in sorted(self._moved))
        ]
        return records + [(_key(origin), None) for origin in sorted(self._gone)]

    def saved(self) -> None:
        """What `moved` gave was committed."""
        self._moved.clear()
        self._gone.clear()

    def restore(self, partitions: Collection[int], records: Mapping[bytes, bytes], now_ms: int) -> None:
        """Takes over partitions with the marks as they were committed."""
        self.forget(partitions)
        for key, value in records.items():
            partition, _, origin = key.decode().partition("|")
            if int(partition) not in partitions:
                continue
            mark, own = msgspec.json.decode(value, type=Mark), (int(partition), origin)
            if mark.at_ms and now_ms - mark.at_ms > KEPT_MS:
                self._gone.add(own)
                continue
            self._marks[own] = (mark.sequence, mark.position)
            if not mark.at_ms:
                self._moved.add(own)  # written before marks had a time: it counts from now

    def forget(self, partitions: Collection[int]) -> None:
        """The partitions are no longer in hand."""
        self._marks = {origin: mark for origin, mark in self._marks.items() if origin[0] not in partitions}
        self._moved = {origin for origin in self._moved if origin[0] not in partitions}
        self._gone = {origin for origin in self._gone if origin[0] not in partitions}


def _key(origin: Origin) -> bytes:
    return f"{origin[0]}|{origin[1]}".encode()
