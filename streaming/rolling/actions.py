"""What roll can do, each with the reason why. Plain data; `planning.py` decides, `executing.py` does."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from streaming.retention.classes import Version


@dataclass(frozen=True)
class DeclareClasses:
    """Write the rule files' retention classes as a new version."""

    version: Version

    def __str__(self) -> str:
        names = ", ".join(f"{one.name} ({one.days} d)" for one in self.version.classes) or "none but default"
        return f"declare retention classes for logs received from {self.version.since} on: {names}"


@dataclass(frozen=True)
class RepairTemplates:
    """Bring templates and mappings to what is declared."""

    drift: tuple[str, ...]

    def __str__(self) -> str:
        return f"repair templates: {'; '.join(self.drift[:5])}{' ...' * (len(self.drift) > 5)}"


@dataclass(frozen=True)
class MakeIndex:
    """Make an index before its day."""

    name: str
    shards: int
    reason: str

    def __str__(self) -> str:
        return f"make {self.name}, {self.shards} shard{'s' * (self.shards > 1)}: {self.reason}"


@dataclass(frozen=True)
class DeleteIndex:
    """Delete an index whole."""

    index: str
    docs: int
    bytes: int
    reason: str

    def __str__(self) -> str:
        return f"delete {self.index} ({self.docs:,} documents, {human_bytes(self.bytes)}): {self.reason}"


@dataclass(frozen=True)
class MergeIndex:
    """Force-merge an index to one segment a shard."""

    index: str
    reason: str

    def __str__(self) -> str:
        return f"merge {self.index}: {self.reason}"


@dataclass(frozen=True)
class FinishIndex:
    """Block writes to an index, and mark it as blocked by roll (`at_ms`)."""

    index: str
    at_ms: int
    reason: str

    def __str__(self) -> str:
        return f"write-block {self.index}: {self.reason}"


@dataclass(frozen=True)
class SnapshotIndex:
    """Copy a finished index into the snapshot repository."""

    index: str
    snapshot: str

    def __str__(self) -> str:
        return f"snapshot {self.index} as {self.snapshot}: it is finished"


Action = DeclareClasses | RepairTemplates | MakeIndex | DeleteIndex | MergeIndex | FinishIndex | SnapshotIndex


@dataclass(frozen=True)
class Refusal:
    """Deletions that are not done, since together they are more than may go at once."""

    actions: tuple[DeleteIndex, ...]
    share: float
    """The larger of their shares, of all documents and of all indices."""
    allowed: float

    def __str__(self) -> str:
        docs = sum(action.docs for action in self.actions)
        return (
            f"refused to delete {len(self.actions)} indices ({docs:,} documents) at once: {self.share:.0%} of all, and "
            f"{self.allowed:.0%} may go. Look at `vigil indices roll --dry-run`; if they are to go, "
            f"`vigil indices roll --allow-deleting {_up(self.share):g}`"
        )


def human_bytes(count: float) -> str:
    """As people read it: `82.0 GB`; powers of 1,000, as disks are sold."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _up(share: float) -> float:
    """To the next hundredth that lets it pass."""
    return min(1.0, ceil(share * 100) / 100)
