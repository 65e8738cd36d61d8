"""Where a reindexing begins, as a person writes it."""

from __future__ import annotations

import pytest

from streaming.errors import ConfigError
from streaming.reindex.begin import Begin, parse_begin

NOW_MS = 1_764_100_000_000


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("earliest", Begin()),
        ("1200", Begin(offset=1200)),
        ("0:1200,3:900", Begin(offsets=((0, 1200), (3, 900)))),
        ("2h", Begin(since_ms=NOW_MS - 2 * 3_600_000)),
        ("2025-11-25T10:00:00Z", Begin(since_ms=1_764_064_800_000)),
    ],
)
def test_what_is_understood(text: str, begin: Begin) -> None:
    assert parse_begin(text, NOW_MS) == begin


@pytest.mark.parametrize("text", ["", "yesterdayish", "0:", "0:1,", "-5", "1.5:2", "١٢"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--from: .* Write earliest"):
        parse_begin(text, NOW_MS)
