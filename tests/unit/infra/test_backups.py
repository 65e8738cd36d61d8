"""Backups that are kept: their names, which one is the newest, which ones go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.backups import KEPT_DAYS, KEPT_NEWEST, folder_of, made_at, name_at, newest, surplus

NOW = datetime(2026, 11, 26, 12, 30, 5, tzinfo=UTC)


def test_a_name_says_when_it_was_made() -> None:
    assert name_at(NOW) == "vigil-backup-20261126T123005Z.zst"
    assert made_at(name_at(NOW)) == NOW
    assert made_at("vigil-backup-20269999T123005Z.zst") is None
    assert made_at("by-hand.zst") is None


def test_the_newest_is_found_and_one_that_is_being_written_is_not(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    folder_of(tmp_path).mkdir()
    for name in (name_at(NOW), name_at(NOW - timedelta(days=1)), "zzz.zst", f"{name_at(NOW + timedelta(days=1))}.part"):
        (folder_of(tmp_path) / name).touch()
    found = newest(tmp_path)
    assert found is not None
    assert (found.name, found.made) == (name_at(NOW), NOW)


@given(st.sets(st.integers(0, 24 * 40), max_size=200))
def test_the_newest_are_kept_and_the_last_of_each_day(hours_ago: set[int]) -> None:
    made = {name_at(NOW - timedelta(hours=n)): NOW - timedelta(hours=n) for n in hours_ago}
    gone = surplus([*made, "by-hand.zst"])
    kept = sorted(set(made) - set(gone), reverse=True)
    assert "by-hand.zst" not in gone
    assert kept[:KEPT_NEWEST] == sorted(made, reverse=True)[:KEPT_NEWEST]
    days = sorted({made[name].date() for name in made}, reverse=True)[:KEPT_DAYS]
    assert {max(name for name in made if made[name].date() == day) for day in days} <= set(kept)
    assert len(kept) <= KEPT_NEWEST + KEPT_DAYS
