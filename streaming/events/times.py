"""Times in every notation that senders use, as nanoseconds since the epoch.

Rules for what a notation leaves open:

- **No zone**: UTC. None of the usual text formats carries one, and guessing it from the machine that reads would
  make a replay elsewhere give other times.
- **Numbers** are seconds, milliseconds, microseconds or nanoseconds by their size: below 1e11 seconds, below 1e14
  milliseconds, below 1e17 microseconds, else nanoseconds. A number of seconds below 1e8 (March 1973) is a counter
  or an uptime, not a time. Numbers may come as text.
- **Two-digit years** as POSIX strptime reads them: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068.
- **No year** (syslog): the latest year that puts the time not later than one day after the log was received;
  without a receive time such a text is no time.
- **Fractions** after a dot or comma; what goes beyond nanoseconds is cut off.
- A second of 60 (a leap second) is the first of the next minute.

A time before 1970 or after April 2262 (the 64 bits of nanoseconds end there) is no time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from streaming.events.fields import MAX_DATE_NS, MIN_DATE_NS

NS: Final = 1_000_000_000
_DAY_S: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LONGEST: Final = 64
"""Characters; no notation is longer, and hostile text should not be searched."""

_MONTHS: Final = {
    name: number
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)  # noqa: SIM905
}
_SMALLEST_EPOCH_S: Final = 100_000_000
_YEARS_TO_LEAP: Final = 8  # 29 February comes again after eight years at the latest (1896 to 1904)


def time_of(value: object, *, received_ns: int = 0) -> int | None:
    """Nanoseconds since the epoch, or None if `value` is no time. `received_ns` dates texts without a year."""
    if isinstance(value, str):
        return _of_text(value, received_ns)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _of_number(Decimal(value)) if abs(value) <= MAX_DATE_NS else None
    if isinstance(value, float):
        # The shortest decimal that gives this float is what the sender wrote; its binary value is not.
        return _of_number(Decimal(repr(value))) if abs(value) <= MAX_DATE_NS else None
    return None


def iso_utc(text: str) -> int | None:
    """`YYYY-MM-DDTHH:MM:SS[.fraction](Z|+00:00)` and nothing else: what a sender with care writes. Fast."""
    if text[-1:] == "Z":
        return _iso(text, text[20:-1])
    return _iso(text, text[20:-6]) if text[-6:] == "+00:00" else None


def iso_naive(text: str) -> int | None:
    """`YYYY-MM-DD(T| )HH:MM:SS[(.|,)fraction]` without a zone, read as UTC. Fast."""
    return _iso(text, text[20:])


def _iso(text: str, fraction: str) -> int | None:
    """`fraction` is what follows the dot or comma after the seconds, of which there is none where it is empty."""
    seconds = _iso_second(text[:19])
    if seconds is None:
        return None
    if not fraction:
        return seconds * NS if text[19:20] not in (".", ",") else None
    if text[19] not in ".," or len(fraction) > 9 or not (fraction.isdecimal() and text.isascii()):
        return None
    return seconds * NS + int(fraction) * _SCALE[len(fraction)]


_SCALE: Final[tuple[int, ...]] = tuple(int(10 ** (9 - digits)) for digits in range(10))


@lru_cache(maxsize=4_096)  # logs come many to a second; 19 characters each
def _iso_second(text: str) -> int | None:
    found = _ISO_SECOND.fullmatch(text)
    seconds = None if found is None else _seconds(*map(int, found.groups()))
    return seconds if seconds is not None and 0 <= seconds < MAX_DATE_NS // NS else None


def _of_number(number: Decimal) -> int | None:
    if not number.is_finite() or number < _SMALLEST_EPOCH_S:
        return None
    if number < 10**11:
        ns = number * NS
    elif number < 10**14:
        ns = number * 1_000_000
    elif number < 10**17:
        ns = number * 1_000
    else:
        ns = number
    return _sensible(int(ns))


def _of_text(text: str, received_ns: int) -> int | None:
    if len(text) > _LONGEST:
        return None
    fast = iso_utc(text)
    if fast is None:
        fast = iso_naive(text)
    return _search(text, received_ns // NS) if fast is None else fast


@lru_cache(maxsize=4_096)  # lines of one chunk share their receive time, and many their second; 64 characters each
def _search(text: str, received_s: int) -> int | None:
    text = text.strip()
    for pattern, read in _NOTATIONS:
        found = pattern.fullmatch(text)
        if found is not None:
            return read(found, received_s)
    return None


def _seconds(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int | None:
    """Seconds since the epoch; None for a date or time of day that does not exist."""
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return days * _DAY_S + hour * 3_600 + minute * 60 + second


def _sensible(ns: int) -> int | None:
    return ns if MIN_DATE_NS <= ns <= MAX_DATE_NS else None


def _joined(seconds: int | None, fraction: str | None, zone: str | None) -> int | None:
    if seconds is None:
        return None
    offset = _offset_s(zone)
    if offset is None:
        return None
    return _sensible((seconds - offset) * NS + int((fraction or "")[:9].ljust(9, "0")))


def _offset_s(zone: str | None) -> int | None:
    """Seconds east of UTC of `Z`, `UTC`, `GMT`, `+05:30`, `+0530`, `+05`; 0 for none."""
    if not zone or zone.strip().upper() in {"Z", "UTC", "GMT"}:
        return 0
    zone = zone.strip()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    east = hours * 3_600 + minutes * 60
    return -east if zone[0] == "-" else east


def full_year(two_digits: int) -> int:
    """The year that two digits mean: 69 to 99 are in the 20th century, 00 to 68 in the 21st."""
    return two_digits + (1_900 if two_digits >= 69 else 2_000)


def _read_iso(found: re.Match[str], _received_s: int) -> int | None:
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    clock = (int(hour or 0), int(minute or 0), int(second or 0))
    return _joined(_seconds(int(year), int(month), int(day), *clock), fraction, zone)


def _read_named_month(found: re.Match[str], _received_s: int) -> int | None:
    """Day, month by name, year in any order: the groups have names."""
    part = found.groupdict()
    month = _MONTHS.get(part["month"].lower())
    if month is None:
        return None
    clock = (int(part["hour"]), int(part["minute"]), int(part["second"]))
    return _joined(_seconds(int(part["year"]), month, int(part["day"]), *clock), part.get("fraction"), part.get("zone"))


def _read_two_digit_year(found: re.Match[str], _received_s: int) -> int | None:
    year, *rest = map(int, found.groups())
    return _joined(_seconds(full_year(year), *rest), None, None)


def _read_no_year(found: re.Match[str], received_s: int) -> int | None:
    part = found.groupdict()
    month = _MONTHS.get(part["month"].lower())
    if month is None or received_s <= 0:
        return None
    latest = received_s + _DAY_S
    year = date.fromordinal(_EPOCH_DAY + latest // _DAY_S).year
    for candidate in range(year, year - _YEARS_TO_LEAP - 1, -1):
        clock = (int(part["hour"]), int(part["minute"]), int(part["second"]))
        seconds = _seconds(candidate, month, int(part["day"]), *clock)
        if seconds is not None and seconds <= latest:
            return _joined(seconds, part.get("fraction"), None)
    return None


def _read_decimal(found: re.Match[str], _received_s: int) -> int | None:
    return _of_number(Decimal(found[0]))


_CLOCK: Final = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,18}))?"
_ZONE: Final = r"(?P<zone>\s?(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_MONTH: Final = r"(?P<month>[A-Za-z]{3})"
_A: Final = re.ASCII

_ISO_SECOND: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", _A)

_NOTATIONS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], int], int | None]], ...]] = (
    # 2015-10-18T18:01:47.978+05:30, 2015-10-18 18:01:47,978, 2015/10/18 18:01:47, 2015-10-18
    (
        re.compile(
            r"(\d{4})[-/](\d\d)[-/](\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?"
            r"(\s?(?:Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?)?",
            _A,
        ),
        _read_iso,
    ),
    # 20151018T180147Z
    (re.compile(r"(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(\d\d)(?:[.,](\d{1,18}))?(Z|z|[+-]\d\d:?\d\d)?", _A), _read_iso),
    # 1445191307, 1445191307.978, 1445191307978
    (re.compile(r"\d{9,19}(?:\.\d{1,18})?", _A), _read_decimal),
    # Sun Dec 04 04:47:44 2005 (ctime, Apache)
    (
        re.compile(rf"[A-Za-z]{{3}} {_MONTH} {{1,2}}(?P<day>\d{{1,2}}) {_CLOCK} (?P<year>\d{{4}})", _A),
        _read_named_month,
    ),
    # 04/Dec/2005:04:47:44 +0000 (Common Log Format)
    (re.compile(rf"(?P<day>\d\d)/{_MONTH}/(?P<year>\d{{4}}):{_CLOCK}{_ZONE}", _A), _read_named_month),
    # Sun, 04 Dec 2005 04:47:44 GMT (RFC 5322)
    (
        re.compile(rf"(?:[A-Za-z]{{3}}, )?(?P<day>\d{{1,2}}) {_MONTH} (?P<year>\d{{4}}) {_CLOCK}{_ZONE}", _A),
        _read_named_month,
    ),
    # Jun 14 15:16:01 (syslog, RFC 3164)
    (re.compile(rf"{_MONTH} {{1,2}}(?P<day>\d{{1,2}}) {_CLOCK}", _A), _read_no_year),
    # 081109 203615 (HDFS), 17/06/09 20:10:40 (Spark)
    (re.compile(r"(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d)", _A), _read_two_digit_year),
    (re.compile(r"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)", _A), _read_two_digit_year),
)
