"""Values as Fluentd reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streaming.accumulator.configuration import values


@pytest.mark.parametrize(
    ("text", "size"), [("768k", 786_432), ("8m", 8_388_608), ("1G", 2**30), ("2t", 2**41), ("5", 5)]
)
def test_sizes(text: str, size: int) -> None:
    assert values.size(text) == size


@pytest.mark.parametrize(("text", "time"), [("2s", 2), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("0.05", 0.05)])
def test_times(text: str, time: float) -> None:
    assert values.seconds(text) == time


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("200ms", "reads '200ms' as 12000 s; write 0.2"),
        ("0.2s", "reads '0.2s' as 2 s; write 0.2"),
        ("1h30m", "reads '1h30m' as 1800 s; write 5400"),
        ("1.5h", "reads '1.5h' as 18000 s; write 5400"),
        ("-1", "no time"),
        ("-1s", "no time"),
        ("", "no time"),
        ("1 s", "no time"),
        ("5M", "no time"),
        ("٣s", "no time"),
        ("9" * 400, "no time"),
    ],
)
def test_times_that_fluentd_reads_otherwise_than_they_look_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        values.seconds(text)


@pytest.mark.parametrize("text", ["", "1kb", "-1", "k", "1.5m", "0", "0k", "9" * 5000])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        values.size(text)


def test_booleans() -> None:
    assert [values.boolean(t) for t in ("true", "yes", "", "false", "no")] == [True, True, True, False, False]
    for wrong in ("TRUE", "on", "1", "0", "#c"):
        with pytest.raises(ValueError, match="neither true nor false"):
            values.boolean(wrong)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.number, "0.1s"),
        (values.number, "-0.1"),
        (values.number, "1e3"),
        (values.count, "-1"),
        (values.count, "1_000"),
        (values.count, "٣"),
        (values.port, "0"),
        (values.port, "65536"),
        (values.text, ""),
        (values.brokers, ""),
        (values.brokers, "k"),
        (values.brokers, "k:1,"),
        (values.brokers, "k:1 j:2"),
        (values.brokers, '["k:1", 2]'),
        (values.array, '["\\ud800"]'),
        (values.topic, "${tag}"),
        (values.topic, "logs-%Y"),
        (values.topic, "a b"),
        (values.topic, ".."),
        (values.topic, "x" * 250),
        (values.folder, "out/${tag}"),
        (values.folder, "out/%Y"),
        (values.tail_tag, ""),
        (values.tail_tag, "*.*"),
        (values.log_level, "verbose"),
    ],
)
def test_values_that_are_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_lists() -> None:
    assert values.brokers("k:1, j:2") == values.brokers('["k:1", "j:2"]') == "k:1,j:2"
    assert values.tail_paths("a/*.log, b?.log") == ("a/*.log", "b?.log")
    assert values.excluded_paths('["a,b.log"]') == ("a,b.log",)


@pytest.mark.parametrize(
    "path", ["a.%Y%m%d.log", "a,", "", "**/a.log", "{a,b}.log", r"a\*.log", "[^a]*.log", '["a.log"]', "a\0*"]
)
def test_paths_to_follow_that_fluentd_reads_otherwise_are_refused(path: str) -> None:
    with pytest.raises(ValueError):
        values.tail_paths(path)


def test_keys_of_records() -> None:
    assert values.key_path("a.b") == ("a.b",)
    assert values.key_path("$.a.b") == ("a", "b")
    assert values.key_path("$['a']['b c']") == ("a", "b c")
    with pytest.raises(ValueError):
        values.key_path("$.a[")
