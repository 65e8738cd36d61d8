"""Times as a configuration describes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.parse import TimeFormat
from streaming.accumulator.parsers.times import reader_of, zone_of

NS = 1_000_000_000
NOW = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp()) * NS


def read(format_: str | None, value: object, now_ns: int = NOW) -> int:
    return reader_of(TimeFormat((format_,), UTC))(value, now_ns)


def utc(*parts: int, ns: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * NS + ns  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("format_", "text", "meant"),
    [
        ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:05", utc(2024, 1, 2, 3, 4, 5)),
        ("%Y-%m-%dT%H:%M:%S.%L%z", "2024-01-02T03:04:05.678+0100", utc(2024, 1, 2, 2, 4, 5, ns=678_000_000)),
        ("%Y-%m-%dT%H:%M:%S.%N%z", "2024-01-02T03:04:05.123456789Z", utc(2024, 1, 2, 3, 4, 5, ns=123_456_789)),
        ("%Y%m%d%H%M%S%3N", "20240102030405678", utc(2024, 1, 2, 3, 4, 5, ns=678_000_000)),
        ("%d/%b/%Y:%H:%M:%S %z", "02/Jan/2024:03:04:05 -02:30", utc(2024, 1, 2, 5, 34, 5)),
        ("%a %b %e %T %Y", "Tue Jan  2 03:04:05 2024", utc(2024, 1, 2, 3, 4, 5)),
        ("%A, %d %B %Y %r", "Tuesday, 02 January 2024 03:04:05 PM", utc(2024, 1, 2, 15, 4, 5)),
        ("%D %R %Z", "01/02/24 03:04 EST", utc(2024, 1, 2, 8, 4)),
        ("%I:%M %p %F", "12:30 am 2024-01-02", utc(2024, 1, 2, 0, 30)),
        ("%Y-%j", "2024-061", utc(2024, 3, 1)),
        ("%s.%L", "1700000000.250", 1_700_000_000 * NS + 250_000_000),
        ("%Q", "1700000000250", 1_700_000_000 * NS + 250_000_000),
        ("100%% %Y", "100% 2024", utc(2024, 1, 1)),
        ("%Y-%m-%d %H:%M:%S", "2024-12-31 23:59:60", utc(2025, 1, 1)),
        ("%iso8601", "2024-01-02T03:04:05.5+02:00", utc(2024, 1, 2, 1, 4, 5, ns=500_000_000)),
        ("%iso8601", "2024-01-02T03:04:05Z", utc(2024, 1, 2, 3, 4, 5)),
        ("%H:%M:%S", "03:04:05", utc(2024, 3, 1, 3, 4, 5)),
        (None, "2024-01-02T03:04:05Z", utc(2024, 1, 2, 3, 4, 5)),
        ("unixtime", "1700000000", 1_700_000_000 * NS),
        ("unixtime", 1_700_000_000.9, 1_700_000_000 * NS),
        ("float", 1_700_000_000.25, 1_700_000_000 * NS + 250_000_000),
        ("float", "1700000000.123456789", 1_700_000_000 * NS + 123_456_789),
        ("float", 1_700_000_000, 1_700_000_000 * NS),
    ],
)
def test_formats(format_: str | None, text: object, meant: int) -> None:
    assert read(format_, text) == meant


@pytest.mark.parametrize(
    ("text", "year"), [("Feb 29 10:00:00", 2024), ("Mar  2 11:00:00", 2024), ("Mar  3 00:00:00", 2023)]
)
def test_without_a_year_a_time_is_not_more_than_a_day_ahead(text: str, year: int) -> None:
    found = read("%b %d %H:%M:%S", text)
    assert datetime.fromtimestamp(found // NS, UTC).year == year


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        ("%Y-%m-%d", "2024-13-01"),
        ("%Y-%m-%d", "2024-02-30"),
        ("%Y-%m-%d", "2024-01-02 rest"),
        ("%Y-%m-%d", 20240102),
        ("%Y-%m-%d", "1969-12-31"),
        ("%Y-%m-%d", "2200-01-01"),
        ("%H", "24"),
        ("%I %p", "13 am"),
        ("%Y", "2" * 1000),
        ("%Y %z", "2024 +99:00"),
        ("float", "2024-01-02T03:04:05Z"),
        ("float", True),
        ("float", None),
        ("unixtime", "99999999999"),
        ("%iso8601", "2024-01-02 03:04:05"),
        (None, "soon"),
    ],
)
def test_what_is_no_time_is_an_error(format_: str | None, value: object) -> None:
    with pytest.raises(ValueError, match=r"time|before"):
        read(format_, value)


@pytest.mark.parametrize("format_", ["%i", "%-d", "%Y-%Y", "%3S", "%", "%H %I %H"])
def test_formats_that_are_not_understood_are_refused(format_: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|again"):
        reader_of(TimeFormat((format_,), None))


def test_the_first_format_that_fits_counts() -> None:
    read_any = reader_of(TimeFormat(("%Y-%m-%d", "unixtime"), UTC))
    assert read_any("2024-01-02", NOW) == utc(2024, 1, 2)
    assert read_any(1_700_000_000, NOW) == 1_700_000_000 * NS
    with pytest.raises(ValueError, match="none of the formats"):
        read_any("x", NOW)


@pytest.mark.parametrize(
    ("text", "offset_s"), [("+09:00", 32400), ("-0330", -12600), ("+01", 3600), ("Asia/Tokyo", 32400)]
)
def test_zones(text: str, offset_s: int) -> None:
    offset = zone_of(text).utcoffset(datetime(2024, 1, 1))
    assert offset is not None
    assert offset.total_seconds() == offset_s
    found = reader_of(TimeFormat(("%Y-%m-%d",), zone_of(text)))("2024-01-02", NOW)
    assert found == utc(2024, 1, 2) - offset_s * NS


@pytest.mark.parametrize("text", ["Tokyo", "Asia/Nowhere", "../etc", "+99:00", ""])
def test_zones_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        zone_of(text)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2105, 12, 30)),
    st.integers(-23 * 60, 23 * 60),
)
def test_what_strftime_writes_is_read_back(naive: datetime, minutes: int) -> None:
    moment = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    for format_ in ("%Y-%m-%dT%H:%M:%S%z", "%d/%b/%Y:%H:%M:%S %z", "%a %B %d %I:%M:%S %p %Y %z", "%Y %j %H:%M:%S %z"):
        found = reader_of(TimeFormat((format_,), None))(moment.strftime(format_), NOW)
        assert found == int(moment.timestamp()) * NS
