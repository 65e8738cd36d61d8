"""What a spool has lost of what it had acknowledged: damaged by the disk, or dropped because it was told to.

Each loss is a range of sequences. A reader gives it out in its turn (`Stored.lost`), so that whoever keeps account of
the sequences hears of it in order; it is kept in a file until that has been reported as delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from streaming import decoding
from streaming.accumulator.spool.checked_file import read_checked, with_check
from streaming.accumulator.spool.disk import Disk
from streaming.worker.logs import logger

log = logger(__name__)

LOSSES = "losses"
KEPT = 10_000
"""Ranges in the file, some 40 bytes each. Past that the oldest are forgotten, and are found again as damage."""

Kind = Literal["damaged", "in-doubt", "dropped"]


class Loss(msgspec.Struct, frozen=True, array_like=True):
    """Sequences `first` to `last` of an incarnation will not come out.

    `damaged` was acknowledged and cannot be read any more. `in-doubt` is the unreadable end of what was being
    written at a power loss: most likely a write that was torn and never acknowledged, so its sender sent it again.
    `dropped` made room for what is newer. `events` is None where nothing tells how many there were; it is too low only
    where the spool's own notes were damaged as well.
    """

    kind: Kind
    incarnation: str
    first: int
    last: int
    events: int | None


class Losses:
    """The losses of one spool. `report` hears of each, and again only where the process ended while it was told.

    Not for several threads at once; the spool calls it under its lock.
    """

    def __init__(self, disk: Disk, report: Callable[[Loss], None]) -> None:
        self._disk, self._report = disk, report
        self._kept = self._load()
        self._unsaved = False

    def add(self, loss: Loss) -> None:
        """Takes in what of it is not known; durable where the disk allows, else with the next that it takes."""
        news = self._news(loss)
        if not news:
            return
        # Told first: what a killed process had written down already, its successor would take for told.
        for one in news:
            self._report(one)
        self._kept = sorted([*self._kept, *news], key=lambda known: known.first)[-KEPT:]
        self._unsaved = True
        self.save()

    def between(self, incarnation: str, first: int, last: int) -> list[Loss]:
        """What is known of the sequences from `first` to `last`, in order. What lies across a bound is cut there."""
        found: list[Loss] = []
        for known in self._kept:
            if known.incarnation == incarnation and known.first <= last and known.last >= first:
                whole = known.first >= first and known.last <= last
                events = known.events if whole else None
                found.append(Loss(known.kind, incarnation, max(first, known.first), min(last, known.last), events))
        return found

    def events_between(self, incarnation: str, first: int, last: int) -> int | None:
        """Events of these sequences, if all of them are known to be lost and how many they held."""
        found = self.between(incarnation, first, last)
        whole = sum(loss.last - loss.first + 1 for loss in found) == last - first + 1
        events = [loss.events for loss in found if loss.events is not None]
        return sum(events) if whole and len(events) == len(found) else None

    def forget(self, incarnation: str, delivered_to: int) -> None:
        """Those before this were given out, and what keeps account has them."""
        kept = [loss for loss in self._kept if loss.incarnation == incarnation and loss.last >= delivered_to]
        if len(kept) < len(self._kept):
            self._kept, self._unsaved = kept, True
            self.save()

    def save(self) -> None:
        """Writes what is not yet durable. A disk that does not take it is tried again with the next loss."""
        if not self._unsaved:
            return
        try:
            self._disk.replace(LOSSES, with_check(msgspec.msgpack.encode(self._kept)))
            self._unsaved = False
        except OSError as error:
            log.warning("list of losses cannot be written", error=str(error))

    def _news(self, loss: Loss) -> list[Loss]:
        """The parts of it that are not known."""
        first, events, news = loss.first, loss.events, list[Loss]()
        for known in self._kept:
            if known.incarnation != loss.incarnation or known.last < first or known.first > loss.last:
                continue
            events = None if events is None or known.events is None else max(0, events - known.events)
            if known.first > first:
                news.append(Loss(loss.kind, loss.incarnation, first, known.first - 1, None))
            first = known.last + 1
        if first <= loss.last:
            news.append(Loss(loss.kind, loss.incarnation, first, loss.last, None))
        if len(news) == 1:  # of several parts, none is known to have held so many
            news[0] = Loss(news[0].kind, news[0].incarnation, news[0].first, news[0].last, events)
        return news

    def _load(self) -> list[Loss]:
        raw = read_checked(self._disk, LOSSES)
        if raw is not None:
            try:
                return decoding.unpacked(raw, list[Loss])
            except msgspec.DecodeError as error:
                log.error("list of losses cannot be read", error=str(error))
        return []
