"""Backups of a platform's Kafka that this host keeps, in the folder `backups` of the platform's home."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streaming.backup.dump import Summary, back_up
from streaming.settings import Settings

KEPT_NEWEST = 24
"""However old: with one an hour, those of a day."""
KEPT_DAYS = 14
"""Of each day the last one, for so many days that had any."""

_NAME = re.compile(r"vigil-backup-(\d{8}T\d{6}Z)\.zst")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Backup:
    """One that is there: its file's name, and when it was made."""

    name: str
    made: datetime


def folder_of(home: Path) -> Path:
    """Where the backups of a platform are, given its home (`infra.targets.Target.home`)."""
    return home / "backups"


def name_at(now: datetime) -> str:
    """The file of a backup that is made at that time (UTC)."""
    return f"vigil-backup-{now:%Y%m%dT%H%M%SZ}.zst"


def made_at(name: str) -> datetime | None:
    """When it was made, by its name; None for a file that is no backup."""
    found = _NAME.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S%z") if found else None
    except ValueError:
        return None


def newest(home: Path) -> Backup | None:
    """The newest backup of a platform; None where there is none. One that is being written has not its name yet."""
    found = [Backup(file.name, made) for file in folder_of(home).glob("*.zst") if (made := made_at(file.name))]
    return max(found, key=lambda one: one.made, default=None)


def surplus(names: Iterable[str]) -> list[str]:
    """Which backups are not kept any more. What is no backup by its name is left alone. Pure."""
    dated = sorted(((made, name) for name in names if (made := made_at(name))), reverse=True)
    last_of_day: dict[str, str] = {}
    for made, name in dated:
        last_of_day.setdefault(f"{made:%Y%m%d}", name)
    kept = {name for _, name in dated[:KEPT_NEWEST]} | set(list(last_of_day.values())[:KEPT_DAYS])
    return sorted(name for _, name in dated if name not in kept)


def make(settings: Settings, report: Report) -> Summary:
    """Writes a backup of what lives only in a platform's Kafka, which runs meanwhile, and removes what is not kept.

    Args:
        settings: the platform's (`infra.targets.Target.settings`); its `home` gets the file.
        report: told what was written and removed.

    Raises:
        Unavailable: Kafka does not answer, or a topic is missing.
        ConfigError: the file cannot be written.
    """
    folder = folder_of(settings.home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder / name_at(datetime.now(UTC))
    summary = back_up(settings, place)
    report(f"{sum(summary.records.values()):,} records written to {place}")
    for name in surplus(one.name for one in folder.iterdir()):
        (folder / name).unlink()
        report(f"{name} is not kept any longer")
    return summary
