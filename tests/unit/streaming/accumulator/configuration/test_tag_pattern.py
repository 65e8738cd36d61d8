"""Patterns of `<match>` and `<filter>` take the tags that Fluentd's take."""

from __future__ import annotations

import pytest

from streaming.accumulator.configuration.tag_pattern import tag_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a.*", ["a.b"], ["a", "a.b.c", "b.a"]),
        ("a.**", ["a", "a.b", "a.b.c"], ["ab", "b.a"]),
        ("**.d", ["d", "a.d", "a.b.d"], ["ad", "d.a"]),
        ("x**.d", ["xa.d", "x.d"], ["xd", "d"]),
        ("a.**.d", ["a.d", "a.b.d", "a.b.c.d"], ["a.bd", "ad"]),
        ("**", ["", "a", "a.b"], []),
        ("", ["", "a", "a.b"], []),
        ("a.{b,c}", ["a.b", "a.c"], ["a.d", "a"]),
        ("{a,b.*}", ["a", "b.x"], ["b", "b.x.y"]),
        ("{a,{b,c}.d}", ["a", "b.d"], ["b"]),
        ("a b.*", ["a", "b.c"], ["c"]),
        ("a-b a,b", ["a-b", "a,b"], ["aXb", "a"]),
        ("/x\\d+/", ["x12"], ["x", "ax1", "x٣"]),
        ("/a|b/", ["a", "ax", "xb"], ["xa", "bx"]),
        ("/(?<x>a)/ /(?<x>b)/", ["a", "b"], ["c"]),
    ],
)
def test_tag_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    tags = tag_pattern(pattern)
    assert [t for t in matching if not tags.matches(t)] == []
    assert [t for t in other if tags.matches(t)] == []


@pytest.mark.parametrize(
    "pattern", ["{a, b}", "{a", "a}", "}a{", "/a", "/", "/a b/", "/(/", "a.#{x}", r"a\.b", "${tag}", "a."]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        tag_pattern(pattern)
