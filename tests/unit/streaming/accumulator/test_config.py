"""The configuration language: read as Fluentd reads it, and every fault named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.config import Element, parse_file
from streaming.errors import ConfigError


def parse(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Element:
    file = tmp_path / "test.conf"
    file.write_text(text)
    return parse_file(file, environment or {})


def value(tmp_path: Path, written: str, environment: dict[str, str] | None = None) -> str:
    return parse(tmp_path, f"name {written}\n", environment).parameters["name"].value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("two words", "two words"),
        ("a#b", "a#b"),
        ("a # comment", "a"),
        ("#a", "#a"),
        ("#{ENV['X']}", "#{ENV['X']}"),
        ("trailing   ", "trailing"),
        ('"double # quoted"', "double # quoted"),
        (r'"\"\n\\\#{x}"', '"\n\\#{x}'),
        ("'single #{ENV[''", None),
        (r"'it\'s \n'", r"it's \n"),
        ("\"#{ENV['X']}\"", "from X"),
        ('"#{ENV["X"]}:#{ENV[\'NONE\']}."', "from X:."),
        ("\"#{ENV['NONE'] || 'default'}\"", "default"),
        ("\"#{ENV['NONE'] || 24224}\"", "24224"),
        ("\"#{ENV['X'] || 'default'}/sub\"", "from X/sub"),
        ("'#{ENV[x]}'", "#{ENV[x]}"),
        (r"/^a\d+$/i", r"/^a\d+$/i"),
        ("", ""),
    ],
)
def test_values(tmp_path: Path, written: str, meant: str | None) -> None:
    if meant is None:
        with pytest.raises(ConfigError):
            value(tmp_path, written)
    else:
        assert value(tmp_path, written, {"X": "from X"}) == meant


def test_sections_nest_and_know_their_lines(tmp_path: Path) -> None:
    root = parse(
        tmp_path,
        "# first\n<match a.** {b,c}>  # why\n  @type copy\n  <store>\n    @type null\n  </store>\n</match>\n",
    )
    (match,) = root.elements
    (store,) = match.elements
    assert (match.name, match.argument, match.place.line) == ("match", "a.** {b,c}", 2)
    assert match.parameters["@type"].place.line == 3
    assert (store.name, store.place.line, store.parameters["@type"].value) == ("store", 4, "null")


def test_includes_are_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "b.conf").write_text("b 2\n")
    (tmp_path / "parts" / "a.conf").write_text("a 1\n@include ../outer.conf\n")
    (tmp_path / "outer.conf").write_text("outer yes\n")
    root = parse(tmp_path, "<s>\n@include parts/*.conf\n</s>\n@include nothing/*.conf\n")
    (section,) = root.elements
    assert {n: p.value for n, p in section.parameters.items()} == {"a": "1", "outer": "yes", "b": "2"}
    assert section.parameters["b"].place.file == tmp_path / "parts" / "b.conf"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a 1\n<source>\n", 2, "not closed"),
        ("<a>\n</b>\n", 2, "closes what is not open"),
        ("</a>\n", 1, "closes what is not open"),
        ("a 1\na 2\n", 2, "given twice"),
        ('a "x\n', 1, "does not end"),
        ('a "x" y\n', 1, "behind the value"),
        ("<a> b\n</a>\n", 1, "behind a tag"),
        ('\na "#{hostname}"\n', 2, "Ruby code"),
        ('a "\\q"\n', 1, "unknown escape"),
        ("@include missing.conf\n", 1, "no file"),
        ("@include http://x/y.conf\n", 1, "only files"),
        ("<\n", 1, "neither a parameter nor a section"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse(tmp_path, text)
    assert (caught.value.file, caught.value.line) == (tmp_path / "test.conf", line)


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="includes itself"):
        parse(tmp_path, "@include test.conf\n")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_file(tmp_path / "none.conf", {})
