"""All that mutes, and whom: what is asked before anybody is told of an incident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from streaming.alerting.incidents.decision import Kept
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import DONE, Command, Incident, IncidentState, Order, Silence
from streaming.alerting.muting.index import Index
from streaming.alerting.muting.links import DependencyLink, FlappingLink, InhibitionLink, Link
from streaming.alerting.muting.silences import Held, Refused, Silences, kept
from streaming.alerting.muting.windows import Windows
from streaming.alerting.rules.ruleset import RuleSet

AT_ONCE = 1_000
"""Incidents that are looked at again in one go; others follow with the next ticks. When a silence over 100,000
incidents ends, their messages would else be one transaction of some 400 MB."""


@dataclass(frozen=True)
class MuteChange:
    """What a change of mutes asks for: incidents (by key) to look at again, and records to keep. `outcome` is for the
    audit: `done`, or why nothing was done; and so is the silence that it was about."""

    look_again: frozenset[str] = frozenset()
    kept: tuple[Kept, ...] = ()
    outcome: str = DONE
    silence: Silence | None = None


NO_CHANGE = MuteChange()


class _Condition(Protocol):
    def fits(self, incident: Incident) -> bool: ...


class Mutes:
    """All that mutes, and whom. `incidents` is the book's, by key; it is only read.

    Several may mute an incident; the first of this order is named: silences (the eldest), maintenance windows,
    inhibitions (each in the order of their files), dependencies of services, flapping. An incident that is muted by
    an open one stays so whether that one is firing, acknowledged or silenced itself; one that is pending mutes none.
    """

    def __init__(self, rules: RuleSet, incidents: Mapping[str, Incident]) -> None:
        self._rules, self._incidents = rules, incidents
        self._silences = Silences()
        self._windows, self._index = Windows(rules.maintenance), Index(_links(rules))
        self._later: dict[str, None] = {}
        """Keys of incidents that are still to be looked at again, in order."""
        self._next_ms: int | None = None
        """When a silence or a window begins or ends next."""
        self._last_ms: int | None = None
        """When it was last ticked; None: everything is to be looked at."""

    def take_rules(self, rules: RuleSet, now_ms: int) -> MuteChange:
        """Other maintenance windows, inhibitions and dependencies are in force."""
        self._rules, self._windows = rules, Windows(rules.maintenance)
        self._rebuild()
        self._windows.crossed(now_ms)
        self._schedule(now_ms)
        return MuteChange(self._to_look_at(self._incidents, now_ms))

    def restore(self, silences: Mapping[bytes, bytes]) -> None:
        """Takes over the silences that were kept. The next tick looks at all incidents, since meanwhile time has
        passed, and other rules may be in force."""
        self._silences.restore(silences)
        self._last_ms = None

    def follow(self, incident_key: str) -> None:
        """An incident of this key was taken over, or is no more; before `restore`."""
        incident = self._incidents.get(incident_key)
        if incident is not None and _counts(incident):
            self._index.put(incident)
        else:
            self._index.drop(incident_key)

    def mute_of(self, incident: Incident, now_ms: int) -> str:
        """Why nobody is to be told of it at this time, as `Incident.muted_by` says it; empty: it is to be told."""
        return (
            self._silences.mute_of(incident, now_ms)
            or self._windows.mute_of(incident, now_ms)
            or self._index.mute_of(incident)
        )

    def changed(self, before: Incident | None, after: Incident | None, now_ms: int) -> frozenset[str]:
        """An incident opened, resolved, went, or became another: those that it mutes are to be looked at again, and
        so is it itself.

        A firing one of which only the sample is another stays told, though a mute fit the new one: else what several
        nodes take turns in would be silenced and told again with each log. A silenced one is told at the first log
        that its mute does not fit.
        """
        one = after or before
        assert one is not None, "there was or is an incident"
        key = one.incident_key
        current = self._incidents.get(key)
        if current is None or not _counts(current):
            return self._to_look_at(self._index.drop(key), now_ms)
        only_sample = before is not None and after is not None and _said(before) == _said(after)
        suspects = self._index.put(current, mutes_as_before=only_sample)
        if not only_sample or current.state is IncidentState.SILENCED:
            suspects.add(key)
        return self._to_look_at(suspects, now_ms)

    def command(self, command: Command, now_ms: int) -> MuteChange:
        """SILENCE or UNSILENCE."""
        try:
            before, after = self._obeyed(command, now_ms)
        except Refused as refused:
            return MuteChange(outcome=str(refused))
        suspects = self._meant_by([held.conditions for held in (before, after) if held is not None])
        record, given_up = kept(after), self._silences.given_up(now_ms)
        self._schedule(now_ms)
        return MuteChange(self._to_look_at(suspects, now_ms), (record, *given_up), silence=after.silence)

    def tick(self, now_ms: int) -> MuteChange:
        """Time has passed: silences and windows begin and end; what is over for long is given up."""
        last_ms, self._last_ms = self._last_ms, now_ms
        suspects: Iterable[str] = ()
        given_up: tuple[Kept, ...] = ()
        if last_ms is None or now_ms < last_ms or (self._next_ms is not None and now_ms >= self._next_ms):
            crossed = [held.conditions for held in self._silences.crossed(now_ms)]
            windows = self._windows.crossed(now_ms)
            # At first, or when the clock was set back, whatever was muted may no longer be.
            everything = last_ms is None or now_ms < last_ms
            suspects = self._incidents if everything else self._meant_by([*crossed, *windows])
            given_up = self._silences.given_up(now_ms)
            self._schedule(now_ms)
        elif not self._later:
            return NO_CHANGE
        waiting = list(islice(self._later, AT_ONCE))
        for key in waiting:
            del self._later[key]
        return MuteChange(self._to_look_at({*waiting, *suspects}, now_ms), given_up)

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to do."""
        if self._last_ms is None:
            return 0
        return self._last_ms if self._later else self._next_ms

    # ------------------------------------------------------------------------------------------- within

    def _obeyed(self, command: Command, now_ms: int) -> tuple[Held | None, Held]:
        if command.order is Order.UNSILENCE:
            return self._silences.end(command.silence_id or "", now_ms)
        if command.silence is None:
            raise Refused("the order names no silence")
        return self._silences.make(command.silence, now_ms)

    def _rebuild(self) -> None:
        self._index = Index(_links(self._rules))
        for incident in self._incidents.values():
            if _counts(incident):
                self._index.put(incident)

    def _schedule(self, now_ms: int) -> None:
        times = (self._silences.next_ms(now_ms), self._windows.next_ms(now_ms))
        self._next_ms = min((at for at in times if at is not None), default=None)

    def _meant_by(self, conditions: list[_Condition]) -> list[str]:
        """Keys of all open incidents that one of them fits."""
        if not conditions:
            return []
        return [
            key
            for key, incident in self._incidents.items()
            if _counts(incident) and any(condition.fits(incident) for condition in conditions)
        ]

    def _to_look_at(self, suspects: Iterable[str], now_ms: int) -> frozenset[str]:
        """Those that are muted by something else than they say, at most `AT_ONCE` of them; the rest for later."""
        found = sorted(key for key in suspects if self._is_amiss(key, now_ms))
        self._later |= dict.fromkeys(found[AT_ONCE:])
        return frozenset(found[:AT_ONCE])

    def _is_amiss(self, key: str, now_ms: int) -> bool:
        incident = self._incidents.get(key)
        if incident is None or not _counts(incident):
            return False
        return self.mute_of(incident, now_ms) != incident.muted_by


def _counts(incident: Incident) -> bool:
    """Whether somebody is told of it, but for what mutes it, and whether it mutes others."""
    return is_open(incident) and incident.state is not IncidentState.PENDING


def _said(incident: Incident) -> tuple[object, ...]:
    """All that conditions ask of it, but for its sample."""
    return (
        incident.incident_id,
        incident.state,
        incident.severity,
        incident.owner,
        incident.rule_kind,
        incident.labels,
    )


def _links(rules: RuleSet) -> list[Link]:
    return [InhibitionLink(rules.inhibitions), DependencyLink(rules.dependencies), FlappingLink()]
