"""What roll plans: never a deletion that is not due or is too large, and nothing more once it is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.elastic.finished import Mark
from streaming.indexer.identity import index_name
from streaming.retention.classes import Class, Retention, Version, date_of
from streaming.rolling.actions import (
    Action,
    DeclareClasses,
    DeleteIndex,
    FinishIndex,
    MakeIndex,
    MergeIndex,
    RepairTemplates,
    SnapshotIndex,
)
from streaming.rolling.expiry import Expiry
from streaming.rolling.planning import GB, Policy, late_days, plan, snapshot_name
from streaming.rolling.state import DAY_S, HISTORIES, MONTHLY, Index, Kind, Node, State, identified

TODAY = 20_781  # 2026-11-24
NOON = TODAY * DAY_S + DAY_S / 2
POLICY = Policy()
CLASSES = (Class("audit", 90, services=("audit-*",)), Class("short", 3, levels=("DEBUG",)))


def index(day: int, retention_class: str = "default", kind: Kind = Kind.LOGS, **more: object) -> Index:
    if kind in MONTHLY:
        name = f"vigil-{kind}-{date_of(day):%Y.%m}"
    elif kind is Kind.DEAD_LETTERS:
        name = f"vigil-dead-letters-{date_of(day):%Y.%m.%d}"
    else:
        name = index_name("vigil", day, retention_class)
    found = identified("vigil", name)
    assert found is not None
    made = Index(name, name, kind, found[1], found[2], found[3], docs=1_000, bytes=GB, total_bytes=GB, segments=9)
    return replace(made, **more)  # type: ignore[arg-type]


def state(*indices: Index, **more: object) -> State:
    made = State(NOON, "vigil", Retention(30), (), indices, nodes=(Node("n1", 1_000 * GB, 500 * GB),))
    return replace(made, **more)  # type: ignore[arg-type]


def done(before: State, actions: tuple[Action, ...]) -> State:
    """The cluster after all of them, as Elasticsearch would have it."""
    indices = {one.index: one for one in before.indices}
    snapshots = before.snapshots
    for action in actions:
        match action:
            case DeclareClasses():
                declared = (*before.retention.declared, action.version)
                before = replace(before, retention=Retention(before.retention.default_days, declared))
            case RepairTemplates():
                before = replace(before, drift=())
            case MakeIndex():
                found = identified("vigil", action.name)
                assert found is not None
                assert action.name not in {one.name for one in indices.values()}
                indices[action.name] = Index(action.name, action.name, *found, shards=action.shards)
            case DeleteIndex():
                del indices[action.index]
            case MergeIndex():
                old = indices[action.index]
                mark = Mark(True, old.mark.finished_ms, old.mark.writable_until_ms)
                indices[action.index] = replace(old, segments=min(old.segments, old.shards), mark=mark)
            case FinishIndex():
                old = indices[action.index]
                assert not old.blocked
                mark = Mark(old.mark.merged, action.at_ms)
                indices[action.index] = replace(old, blocked=True, mark=mark)
            case SnapshotIndex():
                assert snapshots is not None
                assert indices[action.index].is_finished
                snapshots |= {action.snapshot}
    return replace(before, indices=tuple(indices.values()), snapshots=snapshots)


def of(kind: type[Action], actions: tuple[Action, ...]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


DAYS = st.integers(TODAY - 120, TODAY + 3)
MARKS = st.builds(
    Mark,
    merged=st.booleans(),
    finished_ms=st.sampled_from([0, 0, 1_000]),
    writable_until_ms=st.sampled_from([0, int(NOON * 1000) + 1, int(NOON * 1000) - 1]),
)
INDICES = st.lists(
    st.builds(
        index,
        DAYS,
        st.sampled_from(["default", "audit", "short", "unknown"]),
        st.sampled_from([Kind.LOGS] * 4 + [Kind.DEAD_LETTERS, Kind.AUDITS]),
        docs=st.integers(0, 10**9),
        bytes=st.integers(0, 200 * GB),
        total_bytes=st.integers(0, 200 * GB),
        segments=st.integers(0, 40),
        shards=st.integers(1, 4),
        blocked=st.booleans(),
        is_open=st.booleans(),
        mark=MARKS,
    ),
    max_size=40,
    unique_by=lambda one: one.index,
)
STATES = st.builds(
    lambda indices, **more: state(*indices, **more),
    INDICES,
    now_s=st.floats(TODAY * DAY_S, (TODAY + 1) * DAY_S - 1),
    retention=st.builds(Retention, st.integers(1, 60), st.just([Version(date_of(TODAY - 200), CLASSES)])),
    wanted=st.sampled_from([None, (), CLASSES, CLASSES[:1]]),
    snapshots=st.sampled_from([None, frozenset[str]()]),
    drift=st.sampled_from([(), ("template x: priority is 1",)]),
    is_embedded=st.booleans(),
)


@given(STATES, st.sampled_from([None, 0.0, 0.5, 1.0]))
def test_what_is_done_is_not_planned_again(before: State, allowed: float | None) -> None:
    first = plan(before, POLICY, allowed)
    after = done(before, first.actions)
    second = plan(after, POLICY, allowed)
    left = [action for action in second.actions if first.refused is None or not isinstance(action, DeleteIndex)]
    assert left == []


@given(STATES, st.sampled_from([None, 0.0, 0.5, 1.0]))
def test_nothing_is_deleted_that_is_not_due_or_that_the_floor_holds(before: State, allowed: float | None) -> None:
    made = plan(before, POLICY, allowed)
    gone = {action.index for action in made.actions if isinstance(action, DeleteIndex)}
    indices = {one.index: one for one in before.indices}
    expiry = Expiry(before.retention, before.today, POLICY.history_days)
    assert all(expiry.is_over(indices[name]) and not indices[name].is_foreign_blocked for name in gone)
    due = {i.index for i in before.indices if expiry.is_over(i) and not i.is_foreign_blocked}
    assert gone in (set(), due)
    assert (made.refused is not None) == (bool(due) and not gone)
    share = max(
        sum(indices[name].docs for name in gone) / max(1, sum(i.docs for i in before.indices)),
        len(gone) / max(1, len(indices)),
    )
    days_of_each = {(i.kind, i.retention_class): {j.day for j in before.indices if j.index in gone and
                    (j.kind, j.retention_class) == (i.kind, i.retention_class)} for i in before.indices}  # fmt: skip
    one_day = all(len(days) <= 1 for days in days_of_each.values())
    assert one_day or share <= (POLICY.most_deleted if allowed is None else allowed)


@given(STATES)
def test_nothing_is_blocked_for_which_something_can_still_come(before: State) -> None:
    indices = {one.index: one for one in before.indices}
    for action in of(FinishIndex, plan(before, POLICY).actions):
        assert isinstance(action, FinishIndex)
        one = indices[action.index]
        assert before.now_s - (one.last_day + 1) * DAY_S >= 10 * DAY_S
        assert one.mark.writable_until_ms <= before.now_ms


def test_late_is_what_spool_and_kafka_may_hold_back() -> None:
    assert late_days() == 3 + 7


def test_the_next_days_get_an_index_of_each_class_in_force_then() -> None:
    made = plan(state(index(TODAY), wanted=CLASSES), POLICY)
    assert isinstance(made.actions[0], DeclareClasses)
    assert made.actions[0].version.first_day == TODAY + 1
    names = [action.name for action in made.actions if isinstance(action, MakeIndex)]
    assert names == [
        index_name("vigil", day, name) for day in (TODAY + 1, TODAY + 2) for name in ("audit", "short", "default")
    ]


@pytest.mark.parametrize(
    ("size_gb", "docs", "nodes", "is_embedded", "shards"),
    [
        (0, 0, 1, False, 1),
        (30, 1, 1, False, 1),
        (31, 1, 1, False, 2),
        (31, 1, 1, True, 1),
        (1, 400_000_000, 1, False, 3),
        (900, 1, 1, False, 3),
        (900, 1, 5, False, 15),
    ],
)
def test_shards_follow_the_largest_of_the_last_days(
    size_gb: int, docs: int, nodes: int, is_embedded: bool, shards: int
) -> None:
    days = [index(TODAY - n, bytes=(size_gb if n == 3 else 1) * GB, docs=docs) for n in range(1, 8)]
    disks = tuple(Node(f"n{n}", 10_000 * GB, 9_000 * GB) for n in range(nodes))
    made = plan(state(*days, nodes=disks, is_embedded=is_embedded), POLICY)
    assert {action.shards for action in made.actions if isinstance(action, MakeIndex)} == {shards}


def test_today_and_older_days_do_not_count_for_shards() -> None:
    days = [index(TODAY, bytes=900 * GB), index(TODAY - 8, bytes=900 * GB), index(TODAY - 1)]
    made = plan(state(*days, is_embedded=False), POLICY)
    assert {action.shards for action in made.actions if isinstance(action, MakeIndex)} == {1}


def test_an_index_is_merged_after_its_day_and_again_when_it_is_finished() -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    yesterday = index(TODAY - 1)
    assert plan(state(*ahead, yesterday, now_s=TODAY * DAY_S + 7_199.0), POLICY).actions == ()
    (merge,) = plan(state(*ahead, yesterday, now_s=TODAY * DAY_S + 7_200.0), POLICY).actions
    assert isinstance(merge, MergeIndex)
    late = replace(yesterday, mark=Mark(merged=True))
    assert plan(state(*ahead, late), POLICY).actions == ()
    being_written = replace(yesterday, mark=Mark(writable_until_ms=int(NOON * 1000) + 1))
    assert plan(state(*ahead, being_written), POLICY).actions == ()
    old = replace(index(TODAY - 11), mark=Mark(merged=True))
    finish, merge = plan(state(*ahead, old), POLICY).actions
    assert isinstance(finish, FinishIndex)
    assert isinstance(merge, MergeIndex)


def test_a_finished_index_gets_a_snapshot_each_time_it_is_finished() -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    finished = index(TODAY - 11, segments=1, blocked=True, mark=Mark(True, 1_795_690_245_000))
    name = snapshot_name(finished.index, finished.mark.finished_ms)
    assert name == "vigil-logs-default-2026.11.13-20261126t105045z"
    (snapshot,) = plan(state(*ahead, finished, snapshots=frozenset()), POLICY).actions
    assert snapshot == SnapshotIndex(finished.index, name)
    assert plan(state(*ahead, finished, snapshots=frozenset({name})), POLICY).actions == ()
    assert plan(state(*ahead, finished), POLICY).actions == ()
    opened = replace(finished, blocked=False, mark=Mark(True, 0, 1))
    actions = plan(state(*ahead, opened, snapshots=frozenset({name})), POLICY).actions
    assert [type(action) for action in actions] == [FinishIndex, SnapshotIndex]


def test_what_somebody_else_has_blocked_is_left_alone_and_told_of() -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    kept = index(TODAY - 40, blocked=True)
    made = plan(state(*ahead, kept), POLICY)
    assert made.actions == ()
    assert any("somebody has blocked it" in line for line in made.warnings)


def test_the_floor_refuses_a_retention_that_was_shortened_by_mistake() -> None:
    days = [index(TODAY - n, segments=0) for n in range(-2, 30)]
    before = state(*days, retention=Retention(3))
    made = plan(before, POLICY)
    assert of(DeleteIndex, made.actions) == []
    assert made.refused is not None
    assert len(made.refused.actions) == 26
    assert "81% of all, and 25% may go" in str(made.refused)
    assert "--allow-deleting 0.82" in str(made.refused)
    assert len(of(DeleteIndex, plan(before, POLICY, 0.82).actions)) == 26
    one_day = state(*days[:6], index(TODAY - 4, "short"), retention=Retention(2, [Version(date_of(0), CLASSES)]))
    assert len(of(DeleteIndex, plan(one_day, POLICY).actions)) == 2, "one day of each class always may go"


def test_months_of_audits_go_when_their_last_day_is_past() -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    audits = [index(TODAY - n, kind=Kind.AUDITS, docs=1) for n in (400, 360)]
    assert [one.name for one in audits] == ["vigil-audits-2025.10", "vigil-audits-2025.11"]
    (gone,) = plan(state(*ahead, *audits), POLICY).actions
    assert isinstance(gone, DeleteIndex)
    assert gone.index == "vigil-audits-2025.10"


@pytest.mark.parametrize("kind", HISTORIES)
def test_months_of_histories_are_kept_for_a_year_whatever_the_retention_of_logs(kind: Kind) -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    months = [index(TODAY - n, kind=kind, docs=1) for n in (400, 360)]
    actions = plan(state(*ahead, *months, retention=Retention(2)), POLICY).actions
    assert [str(action.index) for action in actions if isinstance(action, DeleteIndex)] == [f"vigil-{kind}-2025.10"]
    assert len(actions) == 1, "not merged or blocked either: a restore may add to it"


def test_months_of_task_logs_go_with_the_logs_of_their_last_day() -> None:
    ahead = [index(TODAY + n, segments=0) for n in (0, 1, 2)]
    months = [index(TODAY - n, kind=Kind.TASK_LOGS, docs=1) for n in (60, 30)]
    assert [one.name for one in months] == ["vigil-airflow-logs-2026.09", "vigil-airflow-logs-2026.10"]
    (gone,) = plan(state(*ahead, *months), POLICY).actions
    assert isinstance(gone, DeleteIndex)
    assert gone.index == "vigil-airflow-logs-2026.09"


def test_classes_that_nobody_declared_are_kept_and_told_of() -> None:
    made = plan(state(index(TODAY - 1_000, "mystery")), POLICY)
    assert of(DeleteIndex, made.actions) == []
    assert any("nobody declared" in line and "mystery" in line for line in made.warnings)


def test_broken_rule_files_change_nothing_but_are_told_of() -> None:
    made = plan(state(wanted=None, broken="rules/x.yaml:3: no such key"), POLICY)
    assert of(DeclareClasses, made.actions) == []
    assert any("rules/x.yaml:3" in line for line in made.warnings)
