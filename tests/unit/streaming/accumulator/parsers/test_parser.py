"""Parsers as `<parse>` sections describe them, read from a configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import parse_file
from streaming.accumulator.configuration.parse import Parse
from streaming.accumulator.configuration.plugins.parse import parse_of
from streaming.accumulator.configuration.sections import Section
from streaming.accumulator.parsers.fields import Unparsed
from streaming.accumulator.parsers.parser import parser_of
from streaming.errors import ConfigError

NOW = 1_700_000_000_000_000_000


def section(tmp_path: Path, text: str) -> Parse:
    file = tmp_path / "test.conf"
    file.write_text(f"<parse>\n@type {text}\n</parse>\n")
    return parse_of(Section(parse_file(file, {})))


def parsed(tmp_path: Path, text: str, line: str | bytes) -> tuple[int | None, dict[str, object]]:
    (found,) = parser_of(section(tmp_path, text)).parse(line, NOW)
    return found.time_ns, {**found.record}


def test_json_takes_the_time_out_of_a_record_as_fluentd_does(tmp_path: Path) -> None:
    assert parsed(tmp_path, "json", '{"time": 5.5, "a": 1}') == (5_500_000_000, {"a": 1})
    assert parsed(tmp_path, "json\nkeep_time_key", b'{"time": 5}') == (5_000_000_000, {"time": 5})
    assert parsed(tmp_path, "json\ntime_key _unused", '{"time": "x"}') == (NOW, {"time": "x"})
    assert parsed(tmp_path, "json\nestimate_current_event no", '{"a": 1}') == (None, {"a": 1})
    written = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()) * 10**9
    assert parsed(tmp_path, "json\ntime_format %F\ntimezone +00:00", '{"time": "2024-01-02"}') == (written, {})


@pytest.mark.parametrize("line", ["", "{", "[1]", "[]", "7", '"a"', '{"a": NaN}', '{"a": "\\ud800"', "x" * 10])
def test_what_is_no_json_object_is_unparsed(tmp_path: Path, line: str) -> None:
    with pytest.raises(Unparsed):
        parser_of(section(tmp_path, "json")).parse(line, NOW)


def test_an_array_of_objects_is_several_events(tmp_path: Path) -> None:
    found = parser_of(section(tmp_path, "json")).parse('[{"a": 1}, {"a": 2}]', NOW)
    assert [event.record for event in found] == [{"a": 1}, {"a": 2}]


def test_whole_numbers_keep_their_digits(tmp_path: Path) -> None:
    line = '{"a": 18446744073709551615, "b": 123456789012345678901234567890, "c": -9223372036854775809}'
    assert parsed(tmp_path, "json", line)[1] == {
        "a": 18446744073709551615,
        "b": "123456789012345678901234567890",
        "c": "-9223372036854775809",
    }


def test_a_pattern_gives_its_named_groups(tmp_path: Path) -> None:
    text = r"""regexp
    expression /^(?<time>\S+) (?<level>[A-Z]+)(?: \[(?<thread>\w+)\])? (?<message>.*)$/
    time_format %Y-%m-%dT%H:%M:%S
    utc true"""
    written = int(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9
    found = parsed(tmp_path, text, "2024-01-02T03:04:05 WARN disk \udcff")
    assert found == (written, {"level": "WARN", "message": "disk \udcff"})
    with pytest.raises(Unparsed, match="does not match"):
        parsed(tmp_path, text, "no")
    with pytest.raises(Unparsed, match=r"time: .* is no time of the format"):
        parsed(tmp_path, text, "yesterday WARN x")


def test_none_keeps_the_text(tmp_path: Path) -> None:
    assert parsed(tmp_path, "none\nmessage_key log", "a b") == (NOW, {"log": "a b"})


MULTILINE = r"""multiline
format_firstline /^\d/
format1 /^(?<n>\d) (?<message>[^\n]*)/
format2 /(?:\n +at (?<where>[^\n]*))?/
time_key nothing"""


def test_several_lines_are_one_event_and_more_may_follow(tmp_path: Path) -> None:
    parser = parser_of(section(tmp_path, MULTILINE))
    found = parser.parse("1 a\n  at x\n2 b", NOW)
    assert [event.record for event in found] == [{"n": "1", "message": "a", "where": "x"}, {"n": "2", "message": "b"}]
    with pytest.raises(Unparsed, match="the rest"):
        parser.parse("1 a\nrest", NOW)
    with pytest.raises(Unparsed, match="empty"):
        parser.parse("", NOW)


@pytest.mark.parametrize(
    ("types", "text", "meant"),
    [
        ("a:integer", "42", 42),
        ("a:integer", " -7 ", -7),
        ("a:integer", "7 apples", "7 apples"),
        ("a:integer", "9" * 19, "9" * 19),
        ("a:float", "1.5e3", 1500.0),
        ("a:float", "inf", "inf"),
        ("a:bool", "Yes", True),
        ("a:bool", "0", False),
        ("a:bool", "maybe", "maybe"),
        ("a:array", "x,y", ["x", "y"]),
        ("a:array:|", "x|y", ["x", "y"]),
        ("a:time:unixtime", "1700000000", 1_700_000_000),
        ("a:time:+00:00:%Y-%m-%d", "1970-01-02", 86_400),
        ("a:time", "1970-01-02T00:00:00Z", 86_400),
        ("a:time", "never", "never"),
        ("a:string", "x", "x"),
        ('{"a": "integer"}', "1", 1),
        ("b:integer", "1", "1"),
    ],
)
def test_types_change_what_they_can_and_lose_nothing(tmp_path: Path, types: str, text: str, meant: object) -> None:
    text_ = f"regexp\nexpression /(?<a>.*)/m\ntypes {types}"
    assert parsed(tmp_path, text_, text)[1] == {"a": meant}


def test_values_that_mean_nothing_become_null(tmp_path: Path) -> None:
    text = "regexp\nexpression /(?<a>[^,]*),(?<b>.*)/\nnull_empty_string\nnull_value_pattern /^-$/\ntypes b:integer"
    assert parsed(tmp_path, text, ",-")[1] == {"a": None, "b": None}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("jsn", 2, "Did you mean json"),
        ("regexp", 1, "expression: is required"),
        ("regexp\nexpression /a/", 3, "no named group"),
        ("regexp\nexpression /(?<a>a/", 3, "no regular expression"),
        ("multiline\nformat_firstline /a/", 1, "format1: is required"),
        ("multiline\nformat2 /(?<a>a)/", 3, "format1 is missing"),
        ("multiline\nformat1 (?<a>a)", 3, "is not /pattern/"),
        ("multiline\nformat1 /(?<a>a/", 3, "no regular expression"),
        ("json\ntime_format %i", 3, "%i in '%i' is not understood"),
        ("json\ntime_type mixed", 3, "needs time_format or"),
        ("json\ntime_format_fallbacks unixtime", 3, "needs time_type mixed"),
        ("regexp\nexpression /(?<a>a)/\ntimezone +09:00", 1, "a zone needs time_format"),
        ("json\ntimezone Mars", 3, "no time zone"),
        ("json\nutc\nlocaltime", 3, "contradicts localtime"),
        ("json\ntypes a:int", 3, "did you mean integer"),
        ("json\ntypes a", 3, "no hash of texts"),
        ("json\ntypes a:integer:x", 3, "takes no option"),
        ("json\ntimeout 1", 3, "timeout: unknown parameter"),
    ],
)
def test_what_a_parse_section_does_not_know_is_refused(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        section(tmp_path, text)
    assert caught.value.line == line


def test_a_mixed_time_tries_all(tmp_path: Path) -> None:
    text = "json\ntime_type mixed\ntime_format %Y-%m-%d\ntime_format_fallbacks unixtime, %iso8601\nutc"
    assert parsed(tmp_path, text, '{"time": "1970-01-02"}')[0] == 86_400 * 10**9
    assert parsed(tmp_path, text, '{"time": 7}')[0] == 7 * 10**9
    assert parsed(tmp_path, text, '{"time": "1970-01-01T00:00:09Z"}')[0] == 9 * 10**9


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> list[Parse]:
    folder = tmp_path_factory.mktemp("parse")
    texts = ["json\ntypes a:integer,b:time", r"regexp" + "\nexpression /(?<a>.*?)(?<time>\\d+)/", MULTILINE]
    return [section(folder, text) for text in texts]


@given(line=st.one_of(st.binary(max_size=60), st.text(alphabet='{}[]",:ab01 \n', max_size=60)))
def test_no_text_raises_anything_but_unparsed(parsers: list[Parse], line: str | bytes) -> None:
    for parse in parsers:
        try:
            events = parser_of(parse).parse(line, NOW)
        except Unparsed:
            continue
        assert events
