"""Patterns at work: they find what `re` finds, and no text holds them up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.ruby_regexp import compile_ruby

PATTERNS = [
    r"(?<a>[^ ]*) \[(?<b>[^\]]*)\](?: (?<c>\S+))?",
    r"^(?<a>\w+)\s+(?<b>[\s\d]*)$",
    r"(?<a>é|ß+)(?<b>.)",
    r"(?<a>a|ab)(?<b>c|bcd)?(?<c>d*)",
    r"\A(?<a>\h+)-(?<b>\D)",
    r"(?<a>[^\s]*)\S(?<b>[\u00e9-\u00fc])?",
    r"\b(?<a>[a-z]+)\B(?<b>\w)",
    r"(?<a>x)\k<a>|(?<b>a(?=b))",
    r"(?<a>a+?)(?<b>b{,2})(?<c>[^\n]*)\z",
    r"end\Z",
]
TEXT = st.text(alphabet="aabbcdxé ß1-[]\n\v\t\ud8ff\udcff", max_size=14)


def compiled(ruby: str) -> Pattern:
    return Pattern(compile_ruby(ruby))


@pytest.mark.parametrize("ruby", PATTERNS)
@settings(max_examples=40)
@given(text=TEXT, ignore_case=st.booleans(), all_lines=st.booleans())
def test_what_is_found_is_what_re_finds(ruby: str, text: str, ignore_case: bool, all_lines: bool) -> None:
    python = compile_ruby(ruby, ignore_case=ignore_case, dot_matches_all=all_lines)
    expected = python.search(text)
    found = Pattern(python).search(text)
    assert Pattern(python).found_in(text) == (expected is not None)
    if expected is None:
        assert found is None
    else:
        fields = {name: value for name, value in expected.groupdict().items() if value is not None}
        assert found == (fields, expected.end())


@pytest.mark.parametrize("ruby", [r"^(?<a>(?:a+)+)$", r"(?<a>.*) (?<b>.*) (?<c>.*)$", r"\b(?<a>a|a)+!"])
def test_no_text_makes_a_pattern_slow(ruby: str) -> None:
    """Python's `re` would take longer than anyone waits, and hold all threads meanwhile."""
    pattern = compiled(ruby)
    text = "a" * 20_000 + " \n"
    assert not pattern.found_in(text)
    assert pattern.search(text) is None


def test_what_needs_backtracking_is_known() -> None:
    assert compiled(r"\ba+\b").is_linear
    assert not compiled(r"a(?=b)").is_linear


def test_equal_patterns_are_equal() -> None:
    assert compiled("a") == compiled("a")
    assert compiled("a") != Pattern(re.compile("a"))
    assert hash(compiled("a")) == hash(compiled("a"))
