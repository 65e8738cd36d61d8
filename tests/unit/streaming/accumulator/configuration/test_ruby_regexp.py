"""Ruby's regular expressions: the same meaning, or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.ruby_regexp import compile_ruby


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        (r"/\Aheartbeat\z/i", ["HeartBeat"], ["heartbeat\n"]),
        (r"/\Aheartbeat\z/", ["heartbeat"], ["HeartBeat"]),
        (r"a\Z", ["a", "a\n"], ["a\n\n"]),
        ("^b$", ["a\nb\nc"], ["ab"]),
        ("/a.b/m", ["a\nb"], []),
        ("a.b", ["axb"], ["a\nb"]),
        (r"/(?<word>x)\k<word>/", ["xx"], ["x"]),
        (r"/(?<!x)a(?=b)/", ["ab"], ["xab", "ac"]),
        (r"\h{2}", ["fF"], ["g"]),
        (r"[\h-]{2}", ["a-"], ["g-"]),
        (r"\\h", [r"\h"], ["a"]),
        (r"\d", ["1"], ["٣"]),
        (r"[\s\S]", ["\u00a0"], []),
        (r"\w", ["a"], ["é"]),
        ("/É/i", ["é"], []),
        ("/a/b/", ["a/b"], ["ab"]),
        (r"/a\/b/", ["a/b"], ["ab"]),
        (r"(?i:a)b", ["Ab"], ["AB"]),
        (r"[|~\]\-]", ["|", "]", "-"], ["a"]),
    ],
)
def test_the_same_meaning(pattern: str, found: list[str], not_found: list[str]) -> None:
    compiled = values.regexp(pattern)
    assert [t for t in found if not compiled.search(t)] == []
    assert [t for t in not_found if compiled.search(t)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "(",
        "/a",
        "/a/x",
        "/a/q",
        "[[:alpha:]]",
        "[a&&b]",
        "[a--b]",
        "[]a]",
        "[a",
        r"\p{Alpha}",
        r"[\p{Alpha}]",
        r"\R",
        r"\G",
        r"\Kx",
        r"\g<a>",
        "(?m:a.b)",
        "(?x)a b",
        "(?P<a>b)",
        "(?~a)",
        "a(?i)b",
        "a{2}+",
        "a{99999999999}",
        "a\\",
        "*",
    ],
)
def test_what_python_would_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        values.regexp(pattern)


@given(st.text(alphabet=r"\\[](){}?<>|^$*+-&~/:=!iazZAdhkPx09, ", max_size=24))
def test_any_text_is_compiled_or_refused(pattern: str) -> None:
    with contextlib.suppress(ValueError):
        compile_ruby(pattern)
