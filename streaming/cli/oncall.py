"""`vigil oncall`: who is on call now, and who will be."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.alerting.on_call import Duty
    from streaming.alerting.rules.people import Person, Rotation

DAY_MS = 86_400_000


def oncall(
    rotation: Annotated[str, typer.Option(help="only this rotation")] = "",
    at: Annotated[str, typer.Option(help="at this time: now, 3d (from now), 2026-12-24T18:00+01:00")] = "now",
    days: Annotated[int, typer.Option(min=0, max=366, help="also who follows, for so many days")] = 14,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """Show who is on call, by the rule files: now, and who follows. Times are those of the rotation's time zone.

    Example: vigil oncall --rotation ops --days 30
    """
    from streaming.alerting.rules.faults import nearest
    from streaming.alerting.rules.loading import load_rules
    from streaming.cli.times import coming_ms
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    rules = load_rules(load_settings().rules_path)
    rotations = {one.name: one for one in rules.rotations}
    if rotation and rotation not in rotations:
        remedy = nearest(rotation, list(rotations)) if rotations else "The rule files have no rotations"
        raise ConfigError(f"there is no rotation {rotation!r}", field="--rotation", remedy=remedy)
    wanted = [rotations[rotation]] if rotation else list(rotations.values())
    at_ms = coming_ms(at, time.time_ns() // 1_000_000)
    people = {person.name: person for person in rules.people}
    if as_json:
        print(json.dumps([_as_json(one, people, at_ms, days) for one in wanted], indent=2))
        return
    if not wanted:
        print("The rule files have no rotations: see docs/on-call.md.")
    for one in wanted:
        _print(one, people, at_ms, days)


def _duties(rotation: Rotation, at_ms: int, days: int) -> list[Duty]:
    from streaming.alerting.on_call import duties

    return duties(rotation, at_ms, at_ms + max(days * DAY_MS, 1))


def _as_json(rotation: Rotation, people: dict[str, Person], at_ms: int, days: int) -> dict[str, object]:
    from streaming.alerting.on_call import on_call

    person = on_call(rotation, at_ms)
    return {
        "rotation": rotation.name,
        "timezone": rotation.timezone,
        "at_ms": at_ms,
        "on_call": None if person is None else people[person].model_dump(),
        "duties": [
            {"person": d.person, "begins_ms": d.begins_ms, "ends_ms": d.ends_ms, "stands_in": d.stands_in}
            for d in (_duties(rotation, at_ms, days) if days else [])
        ],
    }


def _print(rotation: Rotation, people: dict[str, Person], at_ms: int, days: int) -> None:
    from streaming.alerting.on_call import on_call
    from streaming.cli.terminal import one_line, one_line_table, printable, show

    person = on_call(rotation, at_ms)
    reached = "" if person is None else _reached(people[person])
    print(f"{rotation.name}: {'nobody' if person is None else person}{reached}")
    if not days:
        return
    table = one_line_table("from", "until", "person", "")
    for duty in _duties(rotation, at_ms, days):
        begins, ends = (_shown(ms, rotation.timezone) for ms in (duty.begins_ms, duty.ends_ms))
        table.add_row(begins, ends, printable(duty.person), one_line("stands in" if duty.stands_in else ""))
    show(table)


def _reached(person: Person) -> str:
    ways = [way for way in (f"Slack {person.slack}" if person.slack else "", person.email) if way]
    return f" ({', '.join(ways)})" if ways else ""


def _shown(at_ms: int, timezone: str) -> str:
    from datetime import timedelta

    from streaming.alerting.on_call import EPOCH
    from streaming.alerting.rules.weekly import zone

    return f"{(EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone(timezone)):%a %Y-%m-%d %H:%M %z}"
