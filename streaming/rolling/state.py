"""What roll looks at: indices, snapshots, disks, and what is declared. Plain data; `reading.py` fills it in."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from streaming.elastic import mapping
from streaming.elastic.finished import Mark
from streaming.indexer.identity import class_and_day, day_in
from streaming.retention.classes import Class, Retention

DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)


class Kind(StrEnum):
    """Indices that roll looks after."""

    LOGS = "logs"
    DEAD_LETTERS = "dead-letters"
    AUDITS = "audits"
    TASK_LOGS = "airflow-logs"
    INCIDENT_EVENTS = mapping.INCIDENTS.events
    INCIDENTS = mapping.INCIDENTS.last
    NODE_STATUS = mapping.NODES.events


HISTORIES: Final = (Kind.AUDITS, Kind.INCIDENT_EVENTS, Kind.INCIDENTS, Kind.NODE_STATUS)
"""What happened to the platform: kept longer than logs are."""

MONTHLY: Final = (*HISTORIES, Kind.TASK_LOGS)
"""An index a month, to which anything may still be added; kept as it is until it expires."""


@dataclass(frozen=True)
class Index:
    """One index. `index` is its own name, `name` what everybody asks for: the same, or an alias of it.

    Days are in days since the epoch (UTC); an index of a month has another `last_day`. Bytes and documents are of the
    primary shards, `total_bytes` of all copies.
    """

    index: str
    name: str
    kind: Kind
    retention_class: str
    day: int
    last_day: int
    docs: int = 0
    bytes: int = 0
    total_bytes: int = 0
    shards: int = 1
    segments: int = 0
    is_open: bool = True
    blocked: bool = False
    mark: Mark = field(default_factory=Mark)

    @property
    def ends_s(self) -> int:
        """When its last day is over, in seconds since the epoch."""
        return (self.last_day + 1) * DAY_S

    @property
    def is_finished(self) -> bool:
        """Roll has blocked it."""
        return self.blocked and bool(self.mark.finished_ms)

    @property
    def is_foreign_blocked(self) -> bool:
        """A reindexing or a person has blocked it: roll leaves it alone."""
        return self.blocked and not self.mark.finished_ms


@dataclass(frozen=True)
class Node:
    """A data node's disk, in bytes."""

    name: str
    total: int
    available: int


@dataclass(frozen=True)
class Watermark:
    """`cluster.routing.allocation.disk.watermark.low`: above so much used, a node gets no new shards."""

    text: str
    max_headroom: str = ""

    def free_bytes(self, total: int) -> int | None:
        """The least that must be free of a disk; None where the setting cannot be read."""
        ratio = _ratio(self.text)
        if ratio is None:
            return size_in_bytes(self.text)
        free = round(total * (1 - ratio))
        most = size_in_bytes(self.max_headroom)
        return free if most is None else min(free, most)


@dataclass(frozen=True)
class State:
    """All of it, at one moment. `wanted` are the classes of the rule files; None where these are broken (`broken`)."""

    now_s: float
    index_prefix: str
    retention: Retention
    wanted: tuple[Class, ...] | None
    indices: tuple[Index, ...] = ()
    unfinished: tuple[str, ...] = ()
    """Generations that a reindexing fills, or left behind."""
    strange: tuple[str, ...] = ()
    """Names that lie within Vigil's patterns and are none of its own."""
    nodes: tuple[Node, ...] = ()
    is_embedded: bool = True
    watermark: Watermark = Watermark("85%", "200gb")
    snapshots: frozenset[str] | None = None
    """Names of those in the repository; None: none is configured."""
    drift: tuple[str, ...] = ()
    unrepairable: tuple[str, ...] = ()
    broken: str = ""
    no_repository: str = ""
    """Why no snapshots can be taken, where they are wanted."""

    @property
    def today(self) -> int:
        """In days since the epoch, UTC."""
        return int(self.now_s) // DAY_S

    @property
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.now_s * 1000)


def identified(index_prefix: str, name: str) -> tuple[Kind, str, int, int] | None:
    """Kind, class, first and last day of an index, by the name that everybody asks for; None if it is not Vigil's."""
    logs = class_and_day(index_prefix, name)
    if logs is not None:
        return Kind.LOGS, logs[0], logs[1], logs[1]
    letters = name.removeprefix(f"{index_prefix}-{Kind.DEAD_LETTERS}-")
    day = day_in(letters) if letters != name else None
    if day is not None:
        return Kind.DEAD_LETTERS, "", day, day
    for kind in MONTHLY:
        month = _MONTH.fullmatch(name.removeprefix(f"{index_prefix}-{kind}-"))
        if month is not None and 1 <= int(month["month"]) <= 12 and int(month["year"]) >= 1:
            first = date(int(month["year"]), int(month["month"]), 1)
            day = (first - _EPOCH).days
            return kind, "", day, day + monthrange(first.year, first.month)[1] - 1
    return None


_MONTH: Final = re.compile(r"(?P<year>\d{4})\.(?P<month>\d\d)")


def size_in_bytes(text: str) -> int | None:
    """Of Elasticsearch's `1gb`, `500mb`, `0b`; None where it is none (`-1`: no limit)."""
    found = _SIZE.fullmatch(text.strip().lower())
    return None if found is None else round(float(found[1]) * 1024 ** "bkmgtp".index(found[2]))


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([bkmgtp])b?")


def _ratio(text: str) -> float | None:
    try:
        share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
