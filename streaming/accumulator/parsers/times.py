"""Times as a configuration says that they are written: strptime's formats, ISO 8601, numbers.

Source: Ruby's documentation, "Time.strptime", and Fluentd's `time.rb`. What a text leaves open:

- No zone: that of the format, else this machine's.
- No year: the latest year that puts the time not later than a day after now (Fluentd takes this year, so that what was
  logged on 31 December and read on 1 January would lie a year ahead).
- No date: today's.

"Now" is given by the caller, so that what is stored is read alike whenever it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streaming.accumulator.configuration.parse import FLOAT, UNIXTIME, TimeFormat
from streaming.events import times

ISO8601 = "%iso8601"

_NS = 1_000_000_000
_LATEST_S = 2**32
"""Event times of the Forward protocol have 32 bits of seconds, from 1970."""
_DAY = timedelta(days=1)
_LONGEST = 128

_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()  # noqa: SIM905
_ZONES_H = {"Z": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6}
_ZONES_H |= {"PST": -8, "PDT": -7}


def _names(names: list[str]) -> str:
    """Whole or as three letters."""
    return "|".join(f"{name[:3]}(?:{name[3:]})?" if name[3:] else name for name in names)


_ZONE = rf"(?P<zone>[+-]\d\d:?\d\d|[+-]\d\d|{'|'.join(_ZONES_H)})"
_DIRECTIVES = {
    "Y": r"(?P<year>\d{4})",
    "y": r"(?P<short_year>\d\d)",
    "m": r"(?P<month>\d{1,2})",
    **dict.fromkeys("Bbh", rf"(?P<month_name>{_names(_MONTHS)})"),
    **dict.fromkeys("Aa", rf"(?:{_names(_DAYS)})"),
    **dict.fromkeys("de", r"\s?(?P<day>\d{1,2})"),
    "j": r"(?P<day_of_year>\d{1,3})",
    **dict.fromkeys("Hk", r"\s?(?P<hour>\d{1,2})"),
    **dict.fromkeys("Il", r"\s?(?P<hour12>\d{1,2})"),
    "M": r"(?P<minute>\d{1,2})",
    "S": r"(?P<second>\d{1,2})",
    **dict.fromkeys("LN", r"(?P<fraction>\d+)"),
    **dict.fromkeys("pP", r"(?P<half>[ap]\.?m\.?)"),
    **dict.fromkeys("zZ", _ZONE),
    "s": r"(?P<epoch>\d{1,10})",
    "Q": r"(?P<epoch_ms>\d{1,13})",
    "%": "%",
    **dict.fromkeys("nt", r"\s+"),
}
_SHORTHANDS = {
    **dict.fromkeys("TX", "%H:%M:%S"),
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    **dict.fromkeys("Dx", "%m/%d/%y"),
    "F": "%Y-%m-%d",
    "c": "%a %b %e %H:%M:%S %Y",
    "v": "%e-%b-%Y",
    "+": "%a %b %e %H:%M:%S %Z %Y",
}
_ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)T(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    rf"(?:\.(?P<fraction>\d+))?{_ZONE}?",
    re.ASCII,
)

Reader = Callable[[object, int], int]
"""A value, and now in nanoseconds; gives nanoseconds since the epoch. Raises ValueError."""


def reader_of(format_: TimeFormat) -> Reader:
    """Reads a time by the first of its formats that fits.

    Raises:
        ValueError: a format that is not understood.
    """
    readers = [_reader(one, format_.zone) for one in format_.formats]
    if len(readers) == 1:
        return readers[0]

    def first_that_fits(value: object, now_ns: int) -> int:
        for read in readers:
            try:
                return read(value, now_ns)
            except ValueError:
                continue
        raise ValueError(f"{value!r:.80} is a time in none of the formats {', '.join(map(str, format_.formats))}")

    return first_that_fits


def zone_of(text: str) -> tzinfo:
    """`+09:00`, `+0900`, `+09` or a name such as `Asia/Tokyo`. Raises ValueError."""
    if re.fullmatch(r"[+-]\d\d(?::?\d\d)?", text, re.ASCII):
        return _offset(text)
    if "/" in text:
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {text!r}") from error
    raise ValueError(f"{text!r} is no time zone (+09:00, or as Asia/Tokyo)")


def _offset(text: str) -> timezone:
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(f"{text!r} is no offset of a time zone")
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))


def _reader(format_: str | None, zone: tzinfo | None) -> Reader:
    if format_ == UNIXTIME:
        return lambda value, _: _number(value) // _NS * _NS
    if format_ == FLOAT:
        return lambda value, _: _number(value)
    read = _any_notation if format_ is None else _by_pattern(_pattern_of(format_), format_, zone)

    def of_text(value: object, now_ns: int) -> int:
        if not isinstance(value, str):
            raise ValueError(f"{value!r:.80} is no text, so no time")
        return read(value, now_ns // _NS)

    return of_text


def _any_notation(text: str, now_s: int) -> int:
    """What the event model reads, UTC where no zone is named."""
    found = times.time_of(text, received_ns=now_s * _NS)
    if found is None or found >= _LATEST_S * _NS:
        raise ValueError(f"{text!r:.80} is no time in a notation that is known; time_format says how it is written")
    return found


def _number(value: object) -> int:
    """Seconds as a number or its text, as nanoseconds; a float as it is written."""
    text = str(value) if not isinstance(value, bool) else ""
    found = re.fullmatch(r"(\d{1,10})(?:\.(\d+))?", text, re.ASCII)
    if not found or int(found[1]) >= _LATEST_S:
        raise ValueError(f"{value!r:.80} is no time in seconds")
    return int(found[1]) * _NS + int((found[2] or "0")[:9].ljust(9, "0"))


def _pattern_of(format_: str) -> re.Pattern[str]:
    if format_ == ISO8601:
        return _ISO
    out: list[str] = []
    seen: set[str] = set()
    for piece in re.findall(r"%[0-9]?.|\s+|[^%\s]+|%", _expanded(format_), re.DOTALL):
        if not piece.startswith("%"):
            out.append(r"\s+" if piece.isspace() else re.escape(piece))
            continue
        digits, letter = piece[1:-1], piece[-1:] if len(piece) > 1 else ""
        found = _DIRECTIVES.get(letter)
        if found is None or (digits and letter not in "LN"):
            raise ValueError(f"{piece} in {format_!r} is not understood")
        if digits:
            found = found.replace(r"\d+", rf"\d{{{digits}}}")
        for group in re.findall(r"\?P<(\w+)>", found):
            if group in seen:
                raise ValueError(f"{piece} in {format_!r} says again what another directive has said")
            seen.add(group)
        out.append(found)
    return re.compile("".join(out), re.IGNORECASE | re.ASCII)


def _expanded(format_: str) -> str:
    return re.sub(r"%(.)", lambda found: _SHORTHANDS.get(found[1], found[0]), format_, flags=re.DOTALL)


def _by_pattern(pattern: re.Pattern[str], format_: str, zone: tzinfo | None) -> Callable[[str, int], int]:
    @lru_cache(maxsize=256)  # logs come many to a second; texts of at most 128 characters
    def read(text: str, now_s: int) -> int:
        found = pattern.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise ValueError(f"{text!r:.80} is no time of the format {format_}")
        try:
            ns = _ns(found.groupdict(), now_s, zone)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{text!r:.80} is no time: {error}") from error
        if not 0 <= ns < _LATEST_S * _NS:
            raise ValueError(f"{text!r:.80} is before 1970 or after 2106")
        return ns

    return read


def _ns(parts: dict[str, str | None], now_s: int, zone: tzinfo | None) -> int:
    nanoseconds = int((parts.get("fraction") or "0")[:9].ljust(9, "0"))
    if epoch := parts.get("epoch"):
        return int(epoch) * _NS + nanoseconds
    if epoch := parts.get("epoch_ms"):
        return int(epoch) * 1_000_000
    zone = _named_zone(parts.get("zone")) or zone
    now = datetime.fromtimestamp(now_s, zone)
    second = int(parts.get("second") or 0)
    leap = second == 60
    clock = _hour(parts), int(parts.get("minute") or 0), second - leap
    moment = _moment(parts, now.date(), clock, zone)
    if "year" not in parts and "short_year" not in parts and moment - _DAY > now.replace(tzinfo=moment.tzinfo):
        moment = _moment(parts, now.date().replace(year=now.year - 1, day=1), clock, zone)
    return (int(moment.timestamp()) + leap) * _NS + nanoseconds


def _moment(parts: dict[str, str | None], today: date, clock: tuple[int, int, int], zone: tzinfo | None) -> datetime:
    hour, minute, second = clock
    day = _date(parts, today)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone)


def _date(parts: dict[str, str | None], today: date) -> date:
    year = today.year
    if given := parts.get("year"):
        year = int(given)
    elif given := parts.get("short_year"):
        year = times.full_year(int(given))
    if given := parts.get("day_of_year"):
        return date(year, 1, 1) + timedelta(days=int(given) - 1)
    month, day = parts.get("month"), parts.get("day")
    if name := parts.get("month_name"):
        month = str(next(n for n, known in enumerate(_MONTHS, 1) if known.startswith(name[:3].lower())))
    if month is None and day is None and year == today.year and not {"year", "short_year"} & parts.keys():
        return today
    return date(year, int(month or (today.month if day and "year" not in parts else 1)), int(day or 1))


def _hour(parts: dict[str, str | None]) -> int:
    if hour := parts.get("hour12"):
        if not 1 <= int(hour) <= 12:
            raise ValueError(f"hour {hour} of twelve")
        return int(hour) % 12 + (12 if (parts.get("half") or "a").lower().startswith("p") else 0)
    return int(parts.get("hour") or 0)


def _named_zone(text: str | None) -> tzinfo | None:
    if not text:
        return None
    hours = _ZONES_H.get(text.upper())
    return _offset(text) if hours is None else timezone(timedelta(hours=hours))
