"""The silences that people made: which there are, which are in force, and which one mutes an incident."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec

from streaming.alerting.incidents.decision import Kept
from streaming.alerting.messages import NO_SUCH_SILENCE, Incident, Silence
from streaming.alerting.muting.matchers import Conditions
from streaming.alerting.rules.incident_conditions import attribute
from streaming.kafka import topics
from streaming.kafka.compacted import readable
from streaming.worker.logs import logger

log = logger(__name__)

SILENCES_LIMIT = 1_000
"""Silences in force or to come; and as many that are over. With 20 conditions each, and some kB for a compiled regular
expression, that is at most some 100 MB; people have ten."""
KEPT_MS = 24 * 60 * 60 * 1000
"""How long a silence that is over can still be looked up."""
LONGEST_MS = 366 * 24 * 60 * 60 * 1000
"""A year. What is never to be told is a matter for the rule."""
AUTHOR_LIMIT = 200
REASON_LIMIT = 1_000
"""Characters: what is shown in one message."""

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class Held:
    """A silence with its conditions compiled.

    Raises:
        ValueError: its conditions cannot be used.
    """

    __slots__ = ("conditions", "order", "silence", "was_in_force")

    def __init__(self, silence: Silence) -> None:
        self.silence = silence
        self.conditions = Conditions(silence.matchers)
        self.order = (silence.created_ms, silence.silence_id)
        self.was_in_force = False
        """At the last tick."""

    def is_in_force(self, at_ms: int) -> bool:
        """From its start on, and before its end."""
        return self.silence.starts_ms <= at_ms < self.silence.ends_ms

    def is_over(self, at_ms: int) -> bool:
        """Whether it has ended."""
        return at_ms >= self.silence.ends_ms


class Refused(ValueError):
    """An order that is not obeyed; the text is the outcome that the audit tells."""


class Silences:
    """At most `SILENCES_LIMIT` that are not over, found for an incident by a value that it must have."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._by_value: dict[str, dict[str, list[Held]]] = {}
        self._others: list[Held] = []

    def restore(self, records: Mapping[bytes, bytes]) -> None:
        """Takes over what was kept. A record that cannot be used is logged and left where it is."""
        for silence in readable(records, Silence, topics.SILENCES, "manager").values():
            try:
                self._held[silence.silence_id] = Held(silence)
            except ValueError as error:
                log.error("silence left unread", silence=silence.silence_id, reason=str(error))
        self._arrange(0)

    def make(self, silence: Silence, now_ms: int) -> tuple[Held | None, Held]:
        """Takes a new silence, or a change of one that is not over: as it was, and as it is.

        Raises:
            Refused: it cannot be made; nothing has changed.
        """
        before = self._held.get(silence.silence_id)
        _check(silence, now_ms)
        if before is not None and before.is_over(now_ms):
            raise Refused("that silence is over; make a new one")
        if before is None and self._unfinished(now_ms) >= SILENCES_LIMIT:
            raise Refused(f"there are {SILENCES_LIMIT} silences already; end some")
        created_ms = now_ms if before is None else before.silence.created_ms
        try:
            held = Held(msgspec.structs.replace(silence, created_ms=created_ms))
        except ValueError as error:
            raise Refused(str(error)) from error
        return before, self._put(held, now_ms)

    def end(self, silence_id: str, now_ms: int) -> tuple[Held, Held]:
        """Ends one now: as it was, and as it is.

        Raises:
            Refused: there is none of that id, or it is over.
        """
        before = self._held.get(silence_id)
        if before is None:
            raise Refused(NO_SUCH_SILENCE)
        if before.is_over(now_ms):
            raise Refused("that silence is over")
        starts_ms = min(before.silence.starts_ms, now_ms)
        held = Held(msgspec.structs.replace(before.silence, starts_ms=starts_ms, ends_ms=now_ms))
        return before, self._put(held, now_ms)

    def mute_of(self, incident: Incident, now_ms: int) -> str:
        """`silence ID` of the eldest that means this incident now; empty: none does."""
        found: Sequence[list[Held]] = [
            held
            for name, by_value in self._by_value.items()
            if (held := by_value.get(attribute(incident, name))) is not None
        ]
        meant = (h for h in chain(*found, self._others) if h.is_in_force(now_ms) and h.conditions.fits(incident))
        first = min(meant, key=lambda held: held.order, default=None)
        return "" if first is None else f"silence {first.silence.silence_id}"

    def crossed(self, now_ms: int) -> list[Held]:
        """Those that began or ended since this was last asked."""
        crossed = [held for held in self._held.values() if held.is_in_force(now_ms) != held.was_in_force]
        for held in crossed:
            held.was_in_force = held.is_in_force(now_ms)
        if crossed:
            self._arrange(now_ms)
        return crossed

    def given_up(self, now_ms: int) -> tuple[Kept, ...]:
        """Deletes what has been over for `KEPT_MS`, and of more than `SILENCES_LIMIT` that are over the eldest."""
        over = sorted((h for h in self._held.values() if h.is_over(now_ms)), key=lambda held: held.silence.ends_ms)
        excess = len(over) - SILENCES_LIMIT
        gone = [h for n, h in enumerate(over) if n < excess or now_ms >= h.silence.ends_ms + KEPT_MS]
        for held in gone:
            del self._held[held.silence.silence_id]
        return tuple(Kept(topics.SILENCES, held.silence.silence_id.encode(), None) for held in gone)

    def next_ms(self, now_ms: int) -> int | None:
        """When the next one begins, ends, or is given up."""
        times = chain.from_iterable(
            (h.silence.starts_ms, h.silence.ends_ms, h.silence.ends_ms + KEPT_MS) for h in self._held.values()
        )
        return min((at for at in times if at > now_ms), default=None)

    def _put(self, held: Held, now_ms: int) -> Held:
        held.was_in_force = held.is_in_force(now_ms)
        self._held[held.silence.silence_id] = held
        self._arrange(now_ms)
        return held

    def _unfinished(self, now_ms: int) -> int:
        return sum(not held.is_over(now_ms) for held in self._held.values())

    def _arrange(self, now_ms: int) -> None:
        self._by_value, self._others = {}, []
        for held in self._held.values():
            if held.is_over(now_ms):
                continue
            if held.conditions.key is None:
                self._others.append(held)
            else:
                name, value = held.conditions.key
                self._by_value.setdefault(name, {}).setdefault(value, []).append(held)


def kept(held: Held) -> Kept:
    """The record by which it outlives the manager."""
    return Kept(topics.SILENCES, held.silence.silence_id.encode(), held.silence)


def _check(silence: Silence, now_ms: int) -> None:
    """What can be said without its conditions.

    Raises:
        Refused: it cannot be made.
    """
    if not _ID.fullmatch(silence.silence_id):
        raise Refused("the id of a silence is 1 to 64 letters, digits and dashes")
    if len(silence.author) > AUTHOR_LIMIT or len(silence.reason) > REASON_LIMIT:
        raise Refused(f"an author has at most {AUTHOR_LIMIT} characters, and a reason {REASON_LIMIT}")
    if silence.ends_ms <= silence.starts_ms:
        raise Refused("it ends before it begins")
    if silence.ends_ms <= now_ms:
        raise Refused("its end is in the past")
    if silence.ends_ms - now_ms > LONGEST_MS:
        raise Refused("it ends more than a year from now; what is never to be told is a matter for its rule")
