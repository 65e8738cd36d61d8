"""Where a log's document lies and what it is called: fixed by the record alone, so a replay finds the same."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

from streaming.retention.classes import DEFAULT_CLASS, date_of

NS_PER_DAY = 86_400 * 1_000_000_000

EARLIEST_DAY, LATEST_DAY = 10_957, 47_482
"""2000-01-01 to 2100-01-01 in days since the epoch: a receive time outside was not set by an accumulator."""


def document_id(value: bytes, source: str, log_id: str | None) -> bytes:
    """128 bits as 22 characters of base64url, which Elasticsearch keeps as 16 bytes.

    With a log_id: of the whole record, which holds log_id, node_id and content, so that a resend is the same
    document and two events that share a log_id but differ are two (a service that starts its counter again
    must not lose its new logs). Without one: of `source`, since two equal lines are two events.
    """
    named = value if log_id is not None else source.encode("utf-8", "surrogatepass")
    return content_ids([named])[0].encode()


def content_ids(contents: Sequence[bytes]) -> list[str]:
    """For each 128 bits of a hash of it, as 22 characters of base64url.

    A hash that can be steered would let one log hide another: the second one would count as a duplicate.
    """
    digests = []
    for content in contents:
        digest = _BLAKE.copy()  # quicker than a new one
        digest.update(content)
        digests.append(digest.digest())
    # With two bytes of padding each is 24 characters of base64, of which the last two say nothing: one call for all.
    text = b2a_base64(_PADDING.join(digests) + _PADDING, newline=False).translate(_URL_SAFE).decode()
    return [text[start : start + 22] for start in range(0, 24 * len(digests), 24)]


_BLAKE: Final = blake2b(digest_size=16)
_PADDING: Final = b"\0\0"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def day_of(received_ns: int) -> int | None:
    """Days since the epoch, UTC; None for a time that no accumulator can have set."""
    day = received_ns // NS_PER_DAY
    return day if EARLIEST_DAY <= day < LATEST_DAY else None


def index_name(index_prefix: str, day: int, retention_class: str = DEFAULT_CLASS) -> str:
    """`vigil-logs-default-2026.11.24`: by receive time, so wild clocks never make wild indices."""
    return f"{index_prefix}-logs-{retention_class}-{date_of(day):%Y.%m.%d}"


def class_and_day(index_prefix: str, name: str) -> tuple[str, int] | None:
    """What `index_name` made a name of; None where it did not make it."""
    found = _LOG_INDEX.fullmatch(name.removeprefix(index_prefix)) if name.startswith(index_prefix) else None
    day = None if found is None else day_in(found["date"])
    return None if found is None or day is None else (found["retention_class"], day)


_LOG_INDEX: Final = re.compile(r"-logs-(?P<retention_class>[a-z0-9-]+)-(?P<date>\d{4}\.\d\d\.\d\d)")


def day_in(date: str) -> int | None:
    """Days since the epoch of `2026.11.24`; None where it is no date."""
    try:
        return int(datetime.strptime(date, "%Y.%m.%d").replace(tzinfo=UTC).timestamp()) // 86_400
    except ValueError:
        return None


def is_expired(day: int, today: int, retention_days: int) -> bool:
    """The day's index is past its retention: it is deleted, or about to be, and must not come back."""
    return day < today - retention_days
