"""Values as Fluentd reads them."""

from __future__ import annotations

import pytest

from streaming.accumulator import values


@pytest.mark.parametrize(
    ("text", "size"), [("768k", 786_432), ("8m", 8_388_608), ("1G", 2**30), ("2t", 2**41), ("5", 5)]
)
def test_sizes(text: str, size: int) -> None:
    assert values.size(text) == size


@pytest.mark.parametrize(("text", "time"), [("0.2s", 0.2), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("0.05", 0.05)])
def test_times(text: str, time: float) -> None:
    assert values.seconds(text) == time


def test_milliseconds_are_refused_since_fluentd_reads_seconds() -> None:
    with pytest.raises(ValueError, match=r"reads '200ms' as 200 s; write 0\.2s"):
        values.seconds("200ms")


@pytest.mark.parametrize("text", ["", "1kb", "-1", "k", "1.5m"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        values.size(text)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a.*", ["a.b"], ["a", "a.b.c", "b.a"]),
        ("a.**", ["a", "a.b", "a.b.c"], ["ab", "b.a"]),
        ("**.d", ["d", "a.d", "a.b.d"], ["ad", "d.a"]),
        ("a.**.d", ["a.d", "a.b.d", "a.b.c.d"], ["a.bd", "ad"]),
        ("**", ["", "a", "a.b"], []),
        ("a.{b,c}", ["a.b", "a.c"], ["a.d", "a"]),
        ("{a,b.*}", ["a", "b.x"], ["b", "b.x.y"]),
        ("a b.*", ["a", "b.c"], ["c"]),
        ("a-b", ["a-b"], ["aXb"]),
        ("/x\\d+/", ["x12"], ["x", "ax1"]),
    ],
)
def test_tag_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = values.tag_patterns(pattern)
    assert [t for t in matching if not compiled.fullmatch(t)] == []
    assert [t for t in other if compiled.fullmatch(t)] == []


def test_regular_expressions_are_rubys() -> None:
    assert values.regexp(r"/\Aheartbeat\z/i").search("HeartBeat")
    assert not values.regexp(r"/\Aheartbeat\z/i").search("heartbeat\n")
    assert values.regexp("^b$").search("a\nb")
    named = values.regexp(r"/(?<word>\w+)(?<!x)/").search("abc")
    assert named
    assert named["word"] == "abc"
    with pytest.raises(ValueError, match="no regular expression"):
        values.regexp("(")


def test_keys_of_records() -> None:
    assert values.key_path("a.b") == ("a.b",)
    assert values.key_path("$.a.b") == ("a", "b")
    assert values.key_path("$['a']['b c']") == ("a", "b c")
    with pytest.raises(ValueError):
        values.key_path("$.a[")
