"""Which open incidents mute which others, found by what they agree in."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from streaming.alerting.messages import Incident
from streaming.alerting.muting.links import Link, Place

_At = tuple[int, Place]
"""A link's number, and a place of it."""


class _Member(NamedTuple):
    """What is known of one incident."""

    incident_id: str
    mutes_at: tuple[_At, ...]
    stands_at: tuple[_At, ...]


class Index:
    """Open incidents by the places at which they mute and are muted.

    Of several that mute at one place the one of the smallest id is named. Ids are random, so that while n of them
    come and go in any order, that one changes some ln(n) times only: what is muted there must be looked at again
    with each change. Holds some hundred bytes for each place of each open incident.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = tuple(links)
        self._members: dict[str, _Member] = {}
        self._sources: dict[_At, list[str]] = {}
        """Ids of the incidents that mute at a place, in order."""
        self._targets: list[dict[Place, set[str]]] = [defaultdict(set) for _ in self._links]
        """By link and place: keys of those that may be muted there."""
        self._active = [0] * len(self._links)
        """By link: at how many places it mutes."""

    def mute_of(self, incident: Incident) -> str:
        """What mutes an incident, by the first link that does; it never is itself."""
        for number, link in enumerate(self._links):
            if not self._active[number]:
                continue
            for place in link.muted_at(incident):
                by = next((i for i in self._sources.get((number, place), ()) if i != incident.incident_id), None)
                if by is not None:
                    return link.said(place, by)
        return ""

    def put(self, incident: Incident, *, mutes_as_before: bool = False) -> set[str]:
        """Takes an open incident in, as it now is; with the keys of those for whom something else may mute now.

        `mutes_as_before`: only its sample is another. It goes on to mute those that it did: else two sources of logs
        that take turns would mute and unmute others with each log.
        """
        key, before = incident.incident_key, self._members.get(incident.incident_key)
        if before is not None and mutes_as_before and before.incident_id == incident.incident_id:
            mutes_at = before.mutes_at
        else:
            mutes_at = tuple((n, place) for n, link in enumerate(self._links) for place in link.mutes_at(incident))
        stands_at = tuple((n, place) for n, link in enumerate(self._links) for place in link.stands_at(incident))
        after = _Member(incident.incident_id, mutes_at, stands_at)
        return set() if after == before else self._exchange(key, before, after)

    def drop(self, key: str) -> set[str]:
        """It is no longer open; likewise."""
        before = self._members.get(key)
        return set() if before is None else self._exchange(key, before, None)

    def _exchange(self, key: str, before: _Member | None, after: _Member | None) -> set[str]:
        changed: list[_At] = []
        if before is not None:
            for number, place in before.stands_at:
                self._leave(number, place, key)
            changed += [at for at in before.mutes_at if self._mutes_no_more(at, before.incident_id)]
            del self._members[key]
        if after is not None:
            for number, place in after.stands_at:
                self._targets[number][place].add(key)
            changed += [at for at in after.mutes_at if self._mutes(at, after.incident_id)]
            self._members[key] = after
        return {
            target for number, place in changed for target in self._links[number].reached(place, self._targets[number])
        }

    def _leave(self, number: int, place: Place, key: str) -> None:
        targets = self._targets[number][place]
        targets.discard(key)
        if not targets:
            del self._targets[number][place]

    def _mutes(self, at: _At, incident_id: str) -> bool:
        """Whether it is named at that place now."""
        ids = self._sources.setdefault(at, [])
        insort(ids, incident_id)
        self._active[at[0]] += 1
        return ids[0] == incident_id

    def _mutes_no_more(self, at: _At, incident_id: str) -> bool:
        """Whether it was named there."""
        ids = self._sources[at]
        place = bisect_left(ids, incident_id)
        del ids[place]
        self._active[at[0]] -= 1
        if not ids:
            del self._sources[at]
        return place == 0
