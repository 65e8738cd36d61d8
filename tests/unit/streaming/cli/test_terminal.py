"""Hostile text on a terminal."""

from __future__ import annotations

import pytest

from streaming.cli.terminal import ago, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode ✓", "plain ünïcode ✓"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eevil", "\\u202eevil"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert printable(text).plain == shown


@pytest.mark.parametrize(
    ("ms", "said"), [(4_200, "4.2 s"), (180_000, "3 min"), (7_200_000, "2 h"), (432_000_000, "5 d")]
)
def test_durations_as_a_person_says_them(ms: int, said: str) -> None:
    assert ago(ms) == said
