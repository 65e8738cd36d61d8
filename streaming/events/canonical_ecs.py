"""What the indexer writes of a canonical log straight as text, where each microsecond counts (indexer/direct.py).

Nearly all logs are canonical and without a backslash. Then every text in them stands in JSON as it is, so the document
is put together from them without an event and a tree of objects in between: a quarter of the time. What is not so
plain is refused, and goes the careful way (parse.py, ecs.py), which says what a document is: this one may only ever
write the same (tests/unit/streaming/indexer/test_direct.py compares them).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from streaming.events import canonical
from streaming.events.canonical import QUOTES_OF_SEVEN, Canonical
from streaming.events.ecs import date_text
from streaming.events.fields import MAX_LONG, MIN_LONG
from streaming.events.times import iso_utc


class Extension(NamedTuple):
    """What goes beyond the seven keys, as members of `log`, the top level, `event` and `vigil`, each with its comma."""

    log: str = ""
    top: str = ""
    event: str = ""
    vigil: str = ""


NOTHING: Final = Extension()
"""Of a log of the seven keys alone."""


def extension(log: Canonical, quotes: int) -> Extension | None:
    """None unless a log that holds these fields and no more has so many quotation marks (see canonical.py).

    One statement per key and no loop: this runs for nearly every log of an instrumented service.
    """
    count = QUOTES_OF_SEVEN
    own = top = event = vigil = ""
    if log.logger is not None:
        own = f',"logger":"{log.logger}"'
        count += 4
    if log.trace_id is not None:
        top = f',"trace":{{"id":"{log.trace_id}"}}'
        count += 4
    if log.span_id is not None:
        top += f',"span":{{"id":"{log.span_id}"}}'
        count += 4
    if log.parent_span_id is not None:
        vigil = f',"parent_span_id":"{log.parent_span_id}"'
        count += 4
    if log.start_time is not None:
        start = utc_text(log.start_time)
        if start is None:
            return None
        vigil += f',"start":"{start}"'
        count += 4
    if log.response_time_ms is not None:
        duration = canonical.nanoseconds(log.response_time_ms)
        if duration is None:
            return None
        event = f',"duration":{duration}'
        count += 2
    if log.threshold_limit_ms is not None:
        threshold = canonical.nanoseconds(log.threshold_limit_ms)
        if threshold is None:
            return None
        vigil += f',"threshold":{threshold}'
        count += 2
    if log.error_details is not None:
        error, inside = _error(log.error_details)
        top += error
        count += inside
    if log.http_method is not None or log.http_status is not None or log.http_path is not None:
        request, inside = _request(log)
        top += request
        count += inside
    return Extension(own, top, event, vigil) if count == quotes else None


def _error(details: canonical.ErrorDetails) -> tuple[str, int]:
    """Member `error`, and the quotation marks that it had in the log. An empty object matches no count: refused."""
    found = [
        f'"{name}":"{text}"'
        for name, text in (
            ("code", details.error_code),
            ("message", details.error_message),
            ("stack_trace", details.stack),
        )
        if text is not None
    ]
    return f',"error":{{{",".join(found)}}}', 2 + 4 * len(found) if found else _REFUSED


_REFUSED: Final = -1_000  # far more than all other keys count


def _request(log: Canonical) -> tuple[str, int]:
    """Members `http` and `url`, and the quotation marks that their keys had in the log."""
    count, http, url = 0, [], ""
    if log.http_method is not None:
        http.append(f'"request":{{"method":"{log.http_method}"}}')
        count += 4
    if log.http_status is not None:
        http.append(f'"response":{{"status_code":{log.http_status}}}')
        count += 2 if MIN_LONG <= log.http_status <= MAX_LONG else _REFUSED
    if log.http_path is not None:
        url = f',"url":{{"path":"{log.http_path}"}}'
        count += 4
    return (f',"http":{{{",".join(http)}}}' if http else "") + url, count


def utc_text(text: str) -> str | None:
    """A time that canonical.py reads as UTC, in nanoseconds as documents have it; None for any other."""
    second, fraction = _second_text(text[:20]), text[20:-1]
    if second is not None and fraction.isdecimal() and text[-1] == "Z" and fraction.isascii() and len(fraction) <= 9:
        return f"{second}{fraction}{_ZEROES[len(fraction)]}Z"
    ns = iso_utc(text)
    return None if ns is None else date_text(ns)


_ZEROES: Final = tuple("0" * (9 - digits) for digits in range(10))


@lru_cache(maxsize=4_096)  # logs come many to a second; 20 characters each
def _second_text(text: str) -> str | None:
    """`YYYY-MM-DDTHH:MM:SS.` as documents write it (a leap second is the next one); None if it is not of that form."""
    ns = iso_utc(f"{text[:19]}Z") if text[19:] == "." else None
    return None if ns is None else date_text(ns)[:20]
