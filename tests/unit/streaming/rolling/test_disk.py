"""How long the disks last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.retention.classes import Class, Retention, Version, date_of
from streaming.rolling.disk import HORIZON_DAYS, Outlook
from streaming.rolling.expiry import Expiry
from streaming.rolling.state import DAY_S, Index, Kind, Node, State, Watermark

GB = 10**9
TODAY = 20_781
NODE = Node("n1", 1_000 * GB, 200 * GB)


def index(day: int, size_gb: float, retention_class: str = "default") -> Index:
    name = f"vigil-logs-{retention_class}-{date_of(day):%Y.%m.%d}"
    return Index(name, name, Kind.LOGS, retention_class, day, day, total_bytes=int(size_gb * GB))


def outlook(*indices: Index, hours: float = 12, nodes: int = 1, days: int = 30) -> Outlook:
    retention = Retention(days, [Version(date_of(0), (Class("short", 3, levels=("DEBUG",)),))])
    state = State(
        TODAY * DAY_S + hours * 3600,
        "vigil",
        retention,
        (),
        indices,
        nodes=tuple(replace(NODE, name=f"n{n}") for n in range(nodes)),
        watermark=Watermark("90%", "200gb"),
    )
    return Outlook(state, Expiry(retention, TODAY, 365), 7)


def test_a_disk_that_only_fills_is_full_when_its_room_is_used() -> None:
    found = outlook(index(TODAY - 2, 5), index(TODAY - 1, 15))
    assert found.days_left(NODE) == pytest.approx(10.0)  # 200 GB free, 100 must be, 10 a day
    assert found.line(NODE) == (
        "n1: 200.0 GB of 1,000.0 GB free, low watermark at 100.0 GB free; 10.0 GB a day: 10.0 days left, with what "
        "expires meanwhile"
    )


def test_days_without_logs_count_and_those_before_the_first_do_not() -> None:
    assert outlook(index(TODAY - 4, 8)).rates() == {(Kind.LOGS, "default"): 2 * GB}


def test_what_expires_frees_its_bytes_also_of_what_is_yet_to_come() -> None:
    short = [index(TODAY - n, 20, "short") for n in range(1, 4)]
    assert outlook(*short).days_left(NODE) is None, "80 GB at the most"
    assert outlook(*(replace(one, retention_class="default") for one in short)).days_left(NODE) == pytest.approx(5)


def test_today_speaks_for_itself_where_there_is_no_full_day() -> None:
    assert outlook(index(TODAY, 5), hours=6).days_left(NODE) == pytest.approx(5.0)
    assert outlook(index(TODAY, 5), hours=0.5).days_left(NODE) is None
    assert "not known yet" in outlook(hours=6).line(NODE)


def test_nodes_share_what_comes() -> None:
    assert outlook(index(TODAY - 1, 10), nodes=2).days_left(NODE) == pytest.approx(20.0)


def test_a_node_above_the_watermark_is_told_of_and_what_is_deleted_now_counts() -> None:
    full = replace(NODE, available=50 * GB)
    found = outlook(index(TODAY - 40, 60), index(TODAY - 1, 1))
    found = replace(found, state=replace(found.state, nodes=(full,)))
    assert found.days_left(full) == 0
    (line,) = found.warnings(7)
    assert "above the low watermark" in line
    assert "none left" in line
    assert list(replace(found, gone={found.state.indices[0].index}).warnings(7)) == []


@given(st.floats(0.001, 500), st.integers(0, 1000))
def test_the_more_comes_the_sooner_it_is_full(size_gb: float, free_gb: int) -> None:
    node = replace(NODE, available=free_gb * GB)
    less, more = (outlook(index(TODAY - 1, size)).days_left(node) for size in (size_gb, 2 * size_gb))
    assert less is None or (more is not None and more <= less <= HORIZON_DAYS)


@pytest.mark.parametrize(
    ("low", "headroom", "total_gb", "free_gb"),
    [
        ("85%", "200gb", 1_000, 150.0),
        ("85%", "200gb", 10_000, 200 * 1.024**3),
        ("0.85", "", 1_000, 150.0),
        ("85%", "-1", 10_000, 1_500.0),
        ("1gb", "200gb", 1_000, 1.024**3),
        ("500mb", "", 1, 0.5 * 1.024**2 * 1),
        ("what", "", 1, None),
    ],
)
def test_watermarks(low: str, headroom: str, total_gb: int, free_gb: float | None) -> None:
    found = Watermark(low, headroom).free_bytes(total_gb * GB)
    assert found == (None if free_gb is None else pytest.approx(free_gb * GB))
