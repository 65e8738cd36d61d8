from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events.ecs import date_text
from streaming.events.fields import MAX_DATE_NS
from streaming.events.times import full_year, iso_utc, time_of

NS = 1_000_000_000


def ns(*parts: int, nanosecond: int = 0, offset_minutes: int = 0) -> int:
    zone = timezone(timedelta(minutes=offset_minutes))
    return int(datetime(*parts, tzinfo=zone).timestamp()) * NS + nanosecond  # type: ignore[misc, arg-type]


RECEIVED_NS = ns(2026, 11, 24, 6, 38, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-10-18T18:01:47Z", ns(2015, 10, 18, 18, 1, 47)),
        ("2015-10-18T18:01:47+00:00", ns(2015, 10, 18, 18, 1, 47)),
        ("2015-10-18T18:01:47", ns(2015, 10, 18, 18, 1, 47)),
        ("2015-10-18 18:01:47", ns(2015, 10, 18, 18, 1, 47)),
        ("2015-10-18 18:01:47,978", ns(2015, 10, 18, 18, 1, 47, nanosecond=978_000_000)),
        ("2015-10-18T18:01:47.123456789Z", ns(2015, 10, 18, 18, 1, 47, nanosecond=123_456_789)),
        ("2015-10-18T18:01:47.1234567891Z", ns(2015, 10, 18, 18, 1, 47, nanosecond=123_456_789)),
        ("2015-10-18T18:01:47.5+05:30", ns(2015, 10, 18, 18, 1, 47, nanosecond=500_000_000, offset_minutes=330)),
        ("2015-10-18T18:01:47-0800", ns(2015, 10, 18, 18, 1, 47, offset_minutes=-480)),
        ("2015-10-18T18:01:47+02", ns(2015, 10, 18, 18, 1, 47, offset_minutes=120)),
        ("2015-10-18 18:01:47.5 UTC", ns(2015, 10, 18, 18, 1, 47, nanosecond=500_000_000)),
        ("2015-10-18 18:01", ns(2015, 10, 18, 18, 1)),
        ("2015-10-18", ns(2015, 10, 18)),
        ("2015/10/18 18:01:47", ns(2015, 10, 18, 18, 1, 47)),
        ("20151018T180147Z", ns(2015, 10, 18, 18, 1, 47)),
        (" 2015-10-18T18:01:47Z\n", ns(2015, 10, 18, 18, 1, 47)),
        ("2016-12-31T23:59:60Z", ns(2017, 1, 1)),
        ("Sun Dec 04 04:47:44 2005", ns(2005, 12, 4, 4, 47, 44)),
        ("Sun Dec 04 04:47:44.123456 2005", ns(2005, 12, 4, 4, 47, 44, nanosecond=123_456_000)),
        ("Sun Dec  4 04:47:44 2005", ns(2005, 12, 4, 4, 47, 44)),
        ("04/Dec/2005:04:47:44 +0100", ns(2005, 12, 4, 3, 47, 44)),
        ("Sun, 04 Dec 2005 04:47:44 GMT", ns(2005, 12, 4, 4, 47, 44)),
        ("081109 203615", ns(2008, 11, 9, 20, 36, 15)),
        ("17/06/09 20:10:40", ns(2017, 6, 9, 20, 10, 40)),
        ("1445191307", 1_445_191_307 * NS),
        ("1445191307.978", 1_445_191_307 * NS + 978_000_000),
        ("1445191307978", 1_445_191_307 * NS + 978_000_000),
        ("1445191307978123456", 1_445_191_307_978_123_456),
    ],
)
def test_texts(text: str, expected: int) -> None:
    assert time_of(text) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1_445_191_307, 1_445_191_307 * NS),
        (1_445_191_307.978, 1_445_191_307 * NS + 978_000_000),
        (1_445_191_307_978, 1_445_191_307 * NS + 978_000_000),
        (1_445_191_307_978_123, 1_445_191_307 * NS + 978_123_000),
        (1_445_191_307_978_123_456, 1_445_191_307_978_123_456),
        (4_070_908_800, 4_070_908_800 * NS),
    ],
)
def test_numbers_by_magnitude(number: float, expected: int) -> None:
    assert time_of(number) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "x", "soon", 0, 5, 12.5, -1_445_191_307, float("nan"), float("inf"), 2**63, 10**40, 1e300,
        "2015-13-18T18:01:47Z", "2015-02-29T00:00:00Z", "2015-10-18T24:01:47Z", "2015-10-18T18:60:47Z",
        "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "2015-10-18T18:01:47+25:00",
        "２０１５-10-18T18:01:47Z", "2015-10-18T18:01:47.Z", "2015-10-18T18:01:47.٣Z", "Sun Foo 04 04:47:44 2005",
        "Jun 14 15:16:01", "9" * 5_000, [], {},
    ],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    assert time_of(value) is None


@pytest.mark.parametrize(
    ("text", "received", "year"),
    [
        ("Jun 14 15:16:01", (2026, 11, 24), 2026),
        ("Dec 31 23:59:59", (2026, 1, 1), 2025),
        ("Jan  1 00:00:30", (2025, 12, 31, 23, 59), 2026),  # the sender's clock is ahead, within the day
        ("Jan  1 00:00:30", (2025, 12, 30), 2025),
        ("Feb 29 12:00:00", (2026, 3, 1), 2024),
        ("Feb 29 12:00:00", (2103, 3, 1), 2096),
    ],
)
def test_a_time_without_a_year_is_the_latest_not_a_day_ahead(text: str, received: tuple[int, ...], year: int) -> None:
    found = time_of(text, received_ns=ns(*received))
    assert found is not None
    assert datetime.fromtimestamp(found // NS, UTC).year == year


def test_pivot_of_two_digit_years() -> None:
    assert [full_year(year) for year in (0, 68, 69, 99)] == [2000, 2068, 1969, 1999]


@given(st.integers(0, MAX_DATE_NS))
def test_what_a_document_says_is_read_back(time_ns: int) -> None:
    assert time_of(date_text(time_ns)) == time_ns
    if time_ns < MAX_DATE_NS - NS:
        assert iso_utc(date_text(time_ns)) == time_ns


@given(st.one_of(st.text(), st.integers(), st.floats(), st.from_regex(r"[\d/:TZ +,.-]{8,40}")), st.integers(0, 2**63))
def test_nothing_raises_and_all_is_within_a_date(value: object, received_ns: int) -> None:
    found = time_of(value, received_ns=received_ns)
    assert found is None or 0 <= found <= MAX_DATE_NS


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)), st.sampled_from(["T", " "]))
def test_iso_of_python(moment: datetime, separator: str) -> None:
    expected = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1_000
    assert time_of(moment.isoformat(separator)) == expected
    assert iso_utc(moment.isoformat(separator) + "+00:00") == expected
