"""What is compared with what, and how a change is said."""

from __future__ import annotations

from datetime import date

import pytest

from streaming.reports.build import corrected
from streaming.reports.changes import level_lines, lines, minus, slot_lines
from streaming.reports.counting import Counted
from streaming.reports.model import Line, Tally
from streaming.reports.period import Kind, back, period_of
from streaming.reports.shown import change, length, many, money, share, size, tone, whole
from streaming.reports.volume import OTHERS, IndexSize, volume_lines
from tests.support.reports import sample_report


def test_a_line_for_whatever_is_there_or_was_there_the_most_errors_first() -> None:
    now = {"a": Tally(10, 1), "b": Tally(5, 5), "new": Tally(20, 1)}
    found = lines(now, {"a": Tally(9, 9), "gone": Tally(3, 2)}, None)
    assert [line.name for line in found] == ["b", "new", "a", "gone"]
    assert found[0].before == Tally(0, 0)
    assert found[3].now == Tally(0, 0)
    assert all(line.week_ago is None for line in found)


def test_levels_are_in_order_of_gravity_and_unknown_ones_are_kept() -> None:
    now = Counted(levels={"INFO": 5, "ERROR": 2, "AUDIT": 1})
    assert [line.name for line in level_lines(now, None, None)] == ["ERROR", "INFO", "AUDIT"]


def test_hours_are_compared_by_local_time_over_a_change_of_clocks() -> None:
    autumn = period_of(Kind.DAILY, date(2026, 10, 25), "Europe/Berlin", 1.0)
    before = back(autumn, 1)
    now = Counted(slots=[Tally(0, n) for n in range(25)])
    then = Counted(slots=[Tally(0, 100 + n) for n in range(24)])
    found = {line.label: (line.now.errors, line.errors_before) for line in slot_lines(autumn, now, before, then)}
    assert (found["02:00"], found["02:00 +01:00"], found["03:00"]) == ((2, 102), (3, None), (4, 103))


def test_days_of_weeks_are_compared_by_weekday() -> None:
    week = period_of(Kind.WEEKLY, date(2026, 11, 25), "UTC", 1.0)
    now, then = Counted(slots=[Tally()] * 7), Counted(slots=[Tally(0, n) for n in range(7)])
    assert [line.errors_before for line in slot_lines(week, now, back(week, 1), then)] == [*range(7)]


def test_a_correction_tells_what_came_and_what_is_gone() -> None:
    stored = sample_report()
    told = {line.name: line.now for line in stored.services}
    now = Counted(total=Tally(stored.total.now.documents + 5, stored.total.now.errors), services=told | {"x": Tally(5)})
    late = Counted(total=Tally(3, 2), services={"x": Tally(1, 1), "order": Tally(2, 1)})
    found = corrected(stored, now, late, 7)
    assert (found.late, found.indexed_late, found.gone) == (Tally(3, 2), Tally(5, 0), Tally())
    assert {line.name: line.now for line in found.services} == {"x": Tally(6, 1), "order": Tally(2, 1)}
    nothing = corrected(stored, Counted(), Counted(), 7)
    assert (nothing.gone, nothing.services) == (stored.total.now, [])


def test_minus_never_goes_below_nothing() -> None:
    assert minus({"a": Tally(3, 1), "b": Tally(1)}, {"a": Tally(1, 2), "b": Tally(1)}) == {"a": Tally(2, 0)}


def test_a_service_takes_its_share_of_each_index() -> None:
    sizes = {"i": IndexSize(100, 1_000_000_000), "j": IndexSize(10, 500), "empty": IndexSize(0, 300)}
    services = {"a": Tally(60), "b": Tally(41), "": Tally(1)}
    shares = {"a": {"i": 60}, "b": {"i": 40, "empty": 1, "deleted": 1}, "": {"j": 1}}
    found = volume_lines(services, shares, sizes, 10.0)
    assert [(line.service, line.bytes) for line in found] == [("a", 600_000_000), ("b", 400_000_000), ("", 50)]
    assert found[0].cost == pytest.approx(6.0)
    assert volume_lines(services, shares, sizes, 0.0)[0].cost is None


def test_many_services_are_one_line_of_others() -> None:
    services = {f"s{n}": Tally(n + 1) for n in range(60)}
    found = volume_lines(services, {}, {}, 0.0)
    assert found[-1].service == OTHERS
    assert sum(line.documents for line in found) == sum(tally.documents for tally in services.values())


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (5, None, "–"),
        (5, 5, "±0"),
        (5, 0, "+5"),
        (14, 10, "+4 (+40\N{NO-BREAK SPACE}%)"),
        (10, 14, "−4 (−29\N{NO-BREAK SPACE}%)"),
        (0, 3, "−3 (−100\N{NO-BREAK SPACE}%)"),
        (10_001, 10_000, "+1"),
        (1_000_000, 10, "+999,990 (×100,000)"),
    ],
)
def test_a_change_is_said_in_numbers_and_percent(now: int, before: int | None, said: str) -> None:
    assert change(now, before) == said


def test_a_rise_is_bad_and_a_fall_is_good() -> None:
    assert [tone(2, 1), tone(1, 2), tone(1, 1), tone(1, None)] == ["bad", "good", "", ""]


def test_numbers_are_readable() -> None:
    assert whole(1_234_567) == "1,234,567"
    assert [share(p) for p in (None, 0, 1, 0.00001, 0.0312, 0.5, 0.99995, 0.995)] == [
        "–", "0 %", "100 %", "< 0.01 %", "3.12 %", "50.0 %", "> 99.99 %", "99.50 %",
    ]  # fmt: skip
    assert [size(n) for n in (0, 999, 1_500, 2_300_000, 4e9, 7.5e12)] == [
        "0 B", "999 B", "1.5 kB", "2.3 MB", "4.0 GB", "7.5 TB",
    ]  # fmt: skip
    assert [length(n) for n in (7, 4_200, 42_000, 200_000, 180_000, 7_500_000, 7_200_000, 273_600_000)] == [
        "7 ms", "4.2 s", "42 s", "3 min 20 s", "3 min", "2 h 05 min", "2 h", "3 d 4 h",
    ]  # fmt: skip
    assert [money(12.3, "EUR"), money(0.0012, ""), money(None, "EUR")] == ["12.30 EUR", "0.0012", "–"]
    assert [many(1, "log"), many(2, "log"), many(0, "log")] == ["1 log", "2 logs", "0 logs"]


def test_nothing_is_a_ratio_of_nothing() -> None:
    assert Tally().ratio is None
    assert Tally(4, 1).ratio == 0.25
    assert Line(name="a", now=Tally()).before is None
