"""Who is on call: pure, of a rotation and a moment.

Shifts follow the clock on the wall in the rotation's time zone. Each begins at the first moment at which that clock
shows its time or a later one: at a time that summer time skips, when it is skipped; at one that comes twice, the first
time. So a shift is never told twice, and none is left out but where the clock jumps over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from streaming.alerting.rules.people import Rotation
from streaming.alerting.rules.weekly import zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Duty:
    """Somebody's time on call, from `begins_ms` until `ends_ms`."""

    person: str
    begins_ms: int
    ends_ms: int
    stands_in: bool
    """By an override."""


def on_call(rotation: Rotation, at_ms: int) -> str | None:
    """Name of the person on call; None before the rotation starts."""
    at = _moment(at_ms)
    for override in reversed(rotation.overrides):
        if override.begins <= at < override.ends:
            return override.person
    return _in_turn(rotation, at)


def duties(rotation: Rotation, begins_ms: int, ends_ms: int) -> list[Duty]:
    """Who is on call from one moment until another, in order, cut at both; gaps where nobody is.

    As many as shifts and overrides lie between: an hour is the shortest shift.
    """
    found: list[Duty] = []
    changes = sorted({begins_ms, *_changes(rotation, begins_ms, ends_ms)})
    for change, following in zip(changes, [*changes[1:], ends_ms], strict=True):
        person = on_call(rotation, change)
        if person is None or change >= following:
            continue
        duty = Duty(person, change, following, _is_overridden(rotation, change))
        last = found[-1] if found else None
        if last and (last.person, last.stands_in, last.ends_ms) == (person, duty.stands_in, change):
            found[-1] = Duty(person, last.begins_ms, following, duty.stands_in)
        else:
            found.append(duty)
    return found


def _in_turn(rotation: Rotation, at: datetime) -> str | None:
    """Whose turn it is, whoever stands in."""
    if at < rotation.starts:
        return None
    return rotation.people[_shift_at(rotation, at) % len(rotation.people)]


def _shift_at(rotation: Rotation, at: datetime) -> int:
    """Number of the shift that a moment, not before the start, lies in."""
    wall = at.astimezone(zone(rotation.timezone)).replace(tzinfo=None)
    number = max(0, (wall - _starts_on_wall(rotation)) // timedelta(seconds=rotation.every))
    # What the clock shows is off the count of shifts only where it was set: by a shift or a few.
    while _begins(rotation, number + 1) <= at:
        number += 1
    while _begins(rotation, number) > at:
        number -= 1
    return number


def _begins(rotation: Rotation, number: int) -> datetime:
    """When a shift begins."""
    wall = _starts_on_wall(rotation) + timedelta(seconds=rotation.every) * number
    return max(rotation.starts.astimezone(UTC), _first_shown(wall, zone(rotation.timezone)))


def _starts_on_wall(rotation: Rotation) -> datetime:
    return rotation.starts.astimezone(zone(rotation.timezone)).replace(tzinfo=None)


def _first_shown(wall: datetime, there: ZoneInfo) -> datetime:
    """The first moment at which the clock on the wall shows this time or a later one."""
    first = wall.replace(tzinfo=there).astimezone(UTC)
    earlier = wall.replace(tzinfo=there, fold=1).astimezone(UTC)
    if earlier >= first:
        return first
    # The time is skipped. Python gives the two moments at which it would be if the clock were set sooner or later;
    # the one at which it is set lies between.
    while first - earlier > timedelta(seconds=1):
        middle = earlier + (first - earlier) // 2
        if middle.astimezone(there).replace(tzinfo=None) >= wall:
            first = middle
        else:
            earlier = middle
    return first.replace(microsecond=0)


def _changes(rotation: Rotation, begins_ms: int, ends_ms: int) -> Iterator[int]:
    """Moments within at which somebody else may be on call."""
    for override in rotation.overrides:
        yield from (at for at in (_ms(override.begins), _ms(override.ends)) if begins_ms < at < ends_ms)
    first = max(begins_ms, _ms(rotation.starts))
    if first >= ends_ms:
        return
    number = _shift_at(rotation, _moment(first))
    while (at := _ms(_begins(rotation, number))) < ends_ms:
        if at > begins_ms:
            yield at
        number += 1


def _is_overridden(rotation: Rotation, at_ms: int) -> bool:
    at = _moment(at_ms)
    return any(override.begins <= at < override.ends for override in rotation.overrides)


def _moment(at_ms: int) -> datetime:
    return EPOCH + at_ms * MS


def _ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded up: the first whole one that is not before it."""
    return -((EPOCH - at) // MS)
