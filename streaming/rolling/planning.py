"""What roll is to do: a pure function of the state. After it is done, planning again plans nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Final

from streaming.indexer.identity import index_name
from streaming.kafka import topics
from streaming.retention.classes import DEFAULT_CLASS, HISTORY_DAYS, Retention, date_of
from streaming.retention.versions import wanted_version
from streaming.rolling.actions import (
    Action,
    DeclareClasses,
    DeleteIndex,
    FinishIndex,
    MakeIndex,
    MergeIndex,
    Refusal,
    RepairTemplates,
    SnapshotIndex,
)
from streaming.rolling.disk import Outlook
from streaming.rolling.expiry import Expiry
from streaming.rolling.state import DAY_S, MONTHLY, Index, Kind, State

GB: Final = 10**9

SPOOL_DAYS: Final = 3
"""How long a log may wait in an accumulator until it counts as late: as long as Kafka's `logs` outlives Elasticsearch,
a weekend. One that waits for longer still finds its index: the indexer opens it (streaming/elastic/finished.py)."""


def late_days() -> float:
    """After the end of a day, how long something for it can still come: from a spool, then from `logs`, or instead from
    `dead-letters`, whichever Kafka keeps longer. 3 + max(3, 7) = 10 days."""
    kept_ms = [int(t.config["retention.ms"]) for t in topics.CATALOGUE if t.name in (topics.LOGS, topics.DEAD_LETTERS)]
    return SPOOL_DAYS + max(kept_ms) / topics.DAY_MS


@dataclass(frozen=True)
class Policy:
    """The figures by which roll decides."""

    ahead_days: int = 2
    """Indices are made for today and so many days more."""
    target_bytes: int = 30 * GB
    """Of a shard. Elasticsearch's makers advise 10 to 50 GB: larger ones recover slowly, many small ones cost heap."""
    target_docs: int = 150_000_000
    """Of a shard; they advise 200 million at most."""
    most_shards_a_node: int = 3
    """Of one index. More than a node has disks or cores to spare brings nothing."""
    measured_days: int = 7
    """The largest of these days' indices of a class says how many shards its next ones get."""
    merge_after_s: int = 2 * 3600
    """After the end of its day an index is merged: by then all but stragglers has come."""
    late_s: float = late_days() * DAY_S
    """After the end of its day an index is finished."""
    most_deleted: float = 0.25
    """Share of documents, or of indices, that may be deleted at once; one day of each class always may."""
    history_days: int = HISTORY_DAYS
    """Audits, incidents and changes of nodes are kept for so long."""
    warn_days: float = 7.0
    """Before a disk reaches the low watermark."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order; what is not done though it is due; and what a person should know."""

    actions: tuple[Action, ...]
    refused: Refusal | None
    warnings: tuple[str, ...]


def plan(state: State, policy: Policy | None = None, allow_deleting: float | None = None) -> Plan:
    """Decides. `allow_deleting` takes the place of the policy's `most_deleted`, for once."""
    policy = policy or Policy()
    allowed = policy.most_deleted if allow_deleting is None else allow_deleting
    version = None if state.wanted is None else wanted_version(state.wanted, state.retention.declared, state.now_s)
    retention = state.retention
    actions: list[Action] = []
    if version is not None:
        actions.append(DeclareClasses(version))
        retention = Retention(retention.default_days, (*retention.declared, version))
    if state.drift:
        actions.append(RepairTemplates(state.drift))
    expiry = Expiry(state.retention, state.today, policy.history_days)
    due = tuple(_deletions(state, expiry))
    refused = _refusal(state, due, allowed)
    deleted = () if refused else due
    actions += deleted
    actions += _to_make(state, retention, policy)
    due_names = {action.index for action in due}
    for index in state.indices:
        if index.index not in due_names:
            actions += _ripening(index, state, policy)
    outlook = Outlook(state, expiry, policy.measured_days, {action.index for action in deleted})
    warnings = (*_warnings(state, expiry), *outlook.warnings(policy.warn_days))
    return Plan(tuple(actions), refused, warnings)


def _deletions(state: State, expiry: Expiry) -> Iterator[DeleteIndex]:
    """The oldest first. One that somebody else has blocked is at work, or kept on purpose."""
    for index in sorted(state.indices, key=lambda one: (one.last_day, one.index)):
        if expiry.is_over(index) and not index.is_foreign_blocked:
            days = expiry.days(index.kind, index.retention_class) or 0
            what = f"class {index.retention_class}" if index.kind is Kind.LOGS else str(index.kind)
            reason = f"{what}, kept for {days} days, until {date_of(index.last_day + days)}"
            yield DeleteIndex(index.index, index.docs, index.total_bytes, reason)


def _refusal(state: State, due: tuple[DeleteIndex, ...], allowed: float) -> Refusal | None:
    """The floor: a retention that was shortened by mistake, or a clock that is years ahead, must not delete all."""
    if not due or _is_one_days_worth(state, due):
        return None
    all_docs = sum(index.docs for index in state.indices)
    docs = sum(action.docs for action in due) / all_docs if all_docs else 0.0
    share = max(docs, len(due) / len(state.indices))
    return Refusal(due, share, allowed) if share > allowed else None


def _is_one_days_worth(state: State, due: tuple[DeleteIndex, ...]) -> bool:
    """What a single day brings about: of each class one day, at the most."""
    names = {action.index for action in due}
    found = [(index.kind, index.retention_class) for index in state.indices if index.index in names]
    days = {(index.kind, index.retention_class, index.day) for index in state.indices if index.index in names}
    return len(days) == len(set(found))


def _to_make(state: State, retention: Retention, policy: Policy) -> Iterator[MakeIndex]:
    there = {index.name for index in state.indices}
    for day in range(state.today, state.today + policy.ahead_days + 1):
        for retention_class in (*(one.name for one in retention.on(day)), DEFAULT_CLASS):
            name = index_name(state.index_prefix, day, retention_class)
            if name not in there:
                yield _sized(name, retention_class, state, policy)


def _sized(name: str, retention_class: str, state: State, policy: Policy) -> MakeIndex:
    """As many shards as the largest of the last days would have needed."""
    days = range(state.today - policy.measured_days, state.today)
    like = [
        index
        for index in state.indices
        if index.kind is Kind.LOGS and index.retention_class == retention_class and index.day in days
    ]
    largest, docs = max((i.bytes for i in like), default=0), max((i.docs for i in like), default=0)
    wanted = max(1, ceil(largest / policy.target_bytes), ceil(docs / policy.target_docs))
    most = 1 if state.is_embedded else policy.most_shards_a_node * max(1, len(state.nodes))
    shards = min(wanted, most)
    if not like:
        return MakeIndex(name, shards, "its class has no full day yet")
    measured = (
        f"up to {largest / GB:.1f} GB a day in the last {len(like)} days, {policy.target_bytes / GB:.0f} GB a shard"
    )
    return MakeIndex(name, shards, measured if shards == wanted else f"{measured}; {most} at most here")


def _ripening(index: Index, state: State, policy: Policy) -> Iterator[Action]:
    """Merged once after its day, finished when nothing more can come, merged to the end, kept in a snapshot."""
    if index.kind in MONTHLY or index.is_foreign_blocked or not index.is_open:
        return
    if state.now_ms < index.mark.writable_until_ms:
        return  # something late is being written
    over_s = state.now_s - index.ends_s
    due = over_s >= policy.late_s
    finished_ms = index.mark.finished_ms if index.is_finished else 0
    if due and not finished_ms:
        finished_ms = state.now_ms
        yield FinishIndex(
            index.index, finished_ms, f"its day ended {over_s / DAY_S:.0f} days ago, nothing more can come"
        )
    if index.segments > index.shards and over_s >= policy.merge_after_s and (finished_ms or not index.mark.merged):
        yield MergeIndex(index.index, f"its day is over; {index.segments} segments in {index.shards} shards")
    if finished_ms and state.snapshots is not None:
        name = snapshot_name(index.index, finished_ms)
        if name not in state.snapshots:
            yield SnapshotIndex(index.index, name)


def snapshot_name(index: str, finished_ms: int) -> str:
    """An index that was opened for a late record and finished again gets a second snapshot, under another name."""
    return f"{index}-{datetime.fromtimestamp(finished_ms // 1000, UTC):%Y%m%dt%H%M%Sz}"


def _warnings(state: State, expiry: Expiry) -> Iterator[str]:
    if state.broken:
        yield f"the rule files are broken, so the retention classes stay as they were declared last: {state.broken}"
    if state.no_repository:
        yield state.no_repository
    for line in state.unrepairable:
        yield f"differs, and cannot be changed in an index that exists (`vigil reindex` makes it anew): {line}"
    if state.unfinished:
        yield f"a reindexing runs, or was broken off and the next one deletes this: {', '.join(state.unfinished)}"
    if state.strange:
        yield f"none of Vigil's names, left alone: {', '.join(state.strange[:5])}{' ...' * (len(state.strange) > 5)}"
    unknown = sorted(
        {
            index.retention_class
            for index in state.indices
            if index.kind is Kind.LOGS and state.retention.days_of(index.retention_class, state.today) is None
        }
        - _coming(state)
    )
    if unknown:
        yield f"classes that nobody declared; their indices are kept for ever: {', '.join(unknown)}"
    for index in state.indices:
        if index.is_foreign_blocked and expiry.is_over(index):
            yield f"{index.index} is past its retention, but somebody has blocked it: it is kept"


def _coming(state: State) -> set[str]:
    """Classes that are declared and not yet in force: their first indices are made ahead."""
    return {one.name for version in state.retention.declared for one in version.classes}
