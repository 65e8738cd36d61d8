"""Records and documents of one partition, side by side in order of offset. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming.verify.documents import Place


class Join:
    """Takes records in order; says which have no document under their own offset and name.

    Another event's document under the same offset (from before its topic was made anew) does not count.
    """

    def __init__(self, documents: Iterator[list[Place]]) -> None:
        self._documents = documents
        self._waiting: list[Place] = []
        self._at = 0
        self._ended = False

    def without(self, records: Sequence[Place]) -> list[int]:
        """Indices into `records`. These come in order of offset, and after those of the last call."""
        if not records:
            return []
        there = self._up_to(records[-1].offset)
        return [n for n, record in enumerate(records) if record not in there]

    def _up_to(self, offset: int) -> set[Place]:
        found: set[Place] = set()
        while not self._ended:
            while self._at < len(self._waiting):
                place = self._waiting[self._at]
                if place.offset > offset:
                    return found
                found.add(place)
                self._at += 1
            page = next(self._documents, None)
            if page is None:
                self._ended = True
            else:
                self._waiting, self._at = page, 0
        return found
