"""Times as people type them."""

from __future__ import annotations

import pytest
import typer

from streaming.cli.times import coming_ms, past_ms, seconds, shown

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "length"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("7d", 604_800), ("1.5h", 5400), ("1w", 604_800)]
)
def test_lengths(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "h", "2", "-1h", "2 h", "2h x", "1e3s", "2y"])
def test_what_is_no_length_says_how_to_write_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write for example 30m"):
        seconds(text)


def test_moments() -> None:
    assert past_ms("30m", NOW) == NOW - 1_800_000
    assert coming_ms("30m", NOW) == NOW + 1_800_000
    assert coming_ms("now", NOW) == NOW
    assert coming_ms("2026-12-01", NOW) == coming_ms("2026-12-01T01:00+01:00", NOW) == 1_796_083_200_000
    assert shown(1_796_083_200_000) == "2026-12-01 00:00:00Z"
    assert "ms after 1970" in shown(10**18)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "22:00", "9999999999999w"])
def test_what_is_no_moment_says_how_to_write_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 30m"):
        coming_ms(text, NOW)
