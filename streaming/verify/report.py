"""What a verification found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import IntEnum

DESCRIBED = 100_000
"""Lost records with name, service and time: 50 MB, 30 MB of JSON. Of more (an index of millions was deleted) the
offsets alone are named."""


class Verdict(IntEnum):
    """Also the exit code."""

    PROVEN = 0
    LOST = 1
    CANNOT_TELL = 2


@dataclass
class Missing:
    """Events that an accumulator says are at `place` and that are not there: `positions` ("0-4 9") of the chunks
    `first` to `last` (of each, where there are several; empty: all), `events` of them."""

    key: str
    place: str
    first: int
    last: int
    positions: str
    events: int

    def __str__(self) -> str:
        chunks = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.key}:{chunks}" + (f":{self.positions.replace(' ', ',')}" if self.positions else "")


@dataclass
class Gap:
    """Sequences of an accumulator about which the ledger is silent, or which it calls lost."""

    key: str
    first: int
    last: int
    why: str
    events: int | None = None
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.key}:{self.first}-{self.last} ({self.why})"


@dataclass
class AccountReport:
    """One incarnation of an accumulator: what it spooled, and where that was found."""

    key: str
    first: int = 0
    last: int = 0
    chunks: int = 0
    events: int = 0
    in_kafka: dict[str, int] = field(default_factory=dict)
    """Found, by topic; an event that was copied counts at each."""
    elsewhere: dict[str, int] = field(default_factory=dict)
    """By the word of the ledger: filtered out, in files, given up."""
    backlog_chunks: int = 0
    """Spooled and not yet delivered when last heard of."""
    too_old_chunks: int = 0
    """Whose records Kafka may have deleted by age or size meanwhile."""
    missing_events: int = 0
    in_elasticsearch_only: int = 0
    """Gone from Kafka (a topic made anew), and documents all the same."""
    heard_ms: int = 0
    """When its last page was written (Kafka's append time)."""


@dataclass
class PartitionReport:
    """One partition of a topic whose records become documents. Offsets `verified_from` up to `verified_to` (not
    included) were reconciled."""

    topic: str
    partition: int
    log_start: int
    verified_from: int
    verified_to: int
    end: int
    records: int = 0
    indexed: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    strays: int = 0
    """Beats and registrations among logs, forwarded to their own topics."""
    expired: int = 0
    lost: int = 0
    lag: int = 0
    """Offsets not yet committed by the group that indexes."""
    deleted_unread: int = 0
    """Offsets that Kafka deleted by age or size before they were committed."""


@dataclass(slots=True)
class Lost:
    """A record of Kafka that is neither a document nor anything else it may be."""

    topic: str
    partition: int
    offset: int
    source: str
    service: str
    received: str
    kind: str

    def __str__(self) -> str:
        service = f" of {self.service}" if self.service else ""
        return f"{self.topic}-{self.partition}-{self.offset} {self.source}{service}, received {self.received}"


@dataclass(slots=True)
class LostOffsets:
    """Records of Kafka that are lost like those that are described: all from `first` to `last`."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def records(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}, offsets {self.first}-{self.last} ({self.records:,} records)"


@dataclass
class Report:
    """All of it."""

    since_ms: int | None
    accounts: list[AccountReport] = field(default_factory=list)
    partitions: list[PartitionReport] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    """The first `DESCRIBED`."""
    lost_offsets: list[LostOffsets] = field(default_factory=list)
    """All further ones."""
    unsure: list[str] = field(default_factory=list)
    """Why part of it could not be told."""
    notes: list[str] = field(default_factory=list)
    records_read: int = 0
    seconds: float = 0.0
    resumed: bool = False

    def add_lost(self, found: Iterable[Lost]) -> None:
        """Takes in lost records, of each partition in order of offset."""
        for one in found:
            if len(self.lost) < DESCRIBED:
                self.lost.append(one)
                continue
            last = self.lost_offsets[-1] if self.lost_offsets else None
            follows = last and (last.topic, last.partition, last.last) == (one.topic, one.partition, one.offset - 1)
            if last and follows:
                last.last = one.offset
            else:
                self.lost_offsets.append(LostOffsets(one.topic, one.partition, one.offset, one.offset))

    @property
    def verdict(self) -> Verdict:
        """Any loss outweighs what could not be told."""
        if (
            self.lost
            or self.lost_offsets
            or self.missing
            or any(g.lost for g in self.gaps)
            or any(p.deleted_unread for p in self.partitions)
        ):
            return Verdict.LOST
        return Verdict.CANNOT_TELL if self.unsure else Verdict.PROVEN

    @property
    def lost_events(self) -> int:
        """Events known to be lost, each once (of those that are not described: each record)."""
        return (
            len({one.source for one in self.lost})
            + sum(more.records for more in self.lost_offsets)
            + sum(m.events for m in self.missing)
            + sum(g.events or 0 for g in self.gaps if g.lost)
        )

    def as_json(self) -> dict[str, object]:
        """For programs; names are what the classes here call them."""
        return asdict(self) | {"verdict": self.verdict.name.lower(), "lost_events": self.lost_events}
