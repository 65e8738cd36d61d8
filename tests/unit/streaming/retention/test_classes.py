"""The class of a log follows from the record alone: what is declared later never changes it for a day that is over."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.retention.classes import Class, Retention, Version, date_of
from streaming.retention.versions import DAY_S, LEAD_S, next_since, wanted_version

DAY = 20_781  # 2026-11-24
AUDIT = Class("audit", 365, services=("audit-*", "login"))
SHORT = Class("short", 3, levels=("TRACE", "DEBUG"))
BOTH = Class("both", 9, levels=("ERROR",), services=("pay",))


def version(day: int, *classes: Class) -> Version:
    return Version(date_of(day), classes)


@pytest.mark.parametrize(
    ("level", "service", "name"),
    [
        ("INFO", "audit-eu", "audit"),
        ("DEBUG", "login", "audit"),  # the first that fits
        ("DEBUG", "logins", "short"),
        ("ERROR", "pay", "both"),
        ("ERROR", "payer", "default"),
        ("INFO", "pay", "default"),
        ("INFO", "", "default"),
    ],
)
def test_the_first_class_that_fits_takes_a_log(level: str, service: str, name: str) -> None:
    assert Retention(30, [version(DAY, AUDIT, SHORT, BOTH)]).class_of(DAY, level, service) == name


def test_a_version_is_in_force_from_its_day_on() -> None:
    retention = Retention(30, [version(DAY, SHORT), version(DAY + 2)])
    names = [retention.class_of(DAY + n, "DEBUG", "s") for n in (-1, 0, 1, 2)]
    assert names == ["default", "short", "short", "default"]


def test_of_two_for_one_day_the_later_declared_counts() -> None:
    retention = Retention(30, [version(DAY, SHORT), version(DAY, AUDIT)])
    assert retention.on(DAY) == (AUDIT,)


def test_a_class_is_kept_as_the_version_in_force_says_and_a_dropped_one_as_the_last_said() -> None:
    longer = Class("short", 5, levels=("DEBUG",))
    retention = Retention(30, [version(DAY, SHORT), version(DAY + 10, longer), version(DAY + 20, AUDIT)])
    assert [retention.days_of("short", today) for today in (DAY, DAY + 9, DAY + 10, DAY + 30)] == [3, 3, 5, 5]
    assert [retention.days_of("audit", today) for today in (DAY + 19, DAY + 20)] == [None, 365]
    assert retention.days_of("unheard-of", DAY) is None
    assert retention.longest_days() == 365


def test_expiry_follows_the_class_and_what_nobody_declared_never_expires() -> None:
    retention = Retention(30, [version(DAY - 100, SHORT)])
    assert not retention.is_expired("short", DAY - 3, DAY)
    assert retention.is_expired("short", DAY - 4, DAY)
    assert not retention.is_expired("default", DAY - 30, DAY)
    assert retention.is_expired("default", DAY - 31, DAY)
    assert not retention.is_expired("unheard-of", DAY - 10_000, DAY)


CLASSES = st.lists(st.sampled_from([AUDIT, SHORT, BOTH]), unique_by=lambda one: one.name, max_size=3).map(tuple)


@given(st.lists(st.tuples(st.floats(0, 40 * DAY_S), CLASSES), max_size=12), st.sampled_from(["DEBUG", "ERROR"]))
def test_no_declaration_changes_a_day_that_has_begun(
    changes: list[tuple[float, tuple[Class, ...]]], level: str
) -> None:
    """Nor one that begins so soon that a reader might not have heard of it; also where the clock goes back."""
    declared: list[Version] = []
    for at, classes in changes:
        before = Retention(30, declared)
        made = wanted_version(classes, declared, at)
        if made is not None:
            declared.append(made)
            assert wanted_version(classes, declared, at) is None
        after = Retention(30, declared)
        known_by = int(at + LEAD_S) // DAY_S
        for day in range(known_by + 1):
            assert after.class_of(day, level, "pay") == before.class_of(day, level, "pay")
        assert after.on(10_000) == classes


@pytest.mark.parametrize(("time_of_day_s", "days"), [(0, 1), (23 * 3600 - 1, 1), (23 * 3600, 2), (DAY_S - 1, 2)])
def test_a_change_takes_force_at_the_next_midnight_that_is_an_hour_away(time_of_day_s: int, days: int) -> None:
    assert next_since(DAY * DAY_S + time_of_day_s, []) == DAY + days


def test_a_version_is_not_in_force_before_one_that_was_declared_earlier() -> None:
    assert next_since(DAY * DAY_S, [version(DAY + 5)]) == DAY + 5
    assert version(DAY + 5).since == date(2026, 11, 29)
