"""The configuration language: read as Fluentd reads it, and every fault named with its place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Element, parse_file
from streaming.errors import ConfigError


def parse(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Element:
    file = tmp_path / "test.conf"
    file.write_text(text, newline="")
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
        ('"two\nlines"', "two\nlines"),
        ('"joined \\\nlines"', "joined lines"),
        ('"crlf\r\nx"', "crlf\nx"),
        ('["a", "b"]', '["a", "b"]'),
        ('[\n "a",\n "b"\n]  # why', '["a", "b"]'),
        ('{"a": 1}', '{"a": 1}'),
        ("# comment", "# comment"),
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
        ("<a\n</a>\n", 1, "does not end with >"),
        ("a 'x\ny'\n", 1, "single quotes"),
        ("a [1, 2\n", 1, "no JSON"),
        ("a [ab]*.log\n", 1, "no JSON"),
        ('a ["x"] y\n', 1, "behind the value"),
        ('a ["#{x}"]\n', 1, "# within an array"),
        ('\na "#{ENV[\'A\'] || "x#{1}"}"\n', 2, "Ruby code"),
        ("\n\ufeffa 1\n\n@include\n", 4, "names no file"),
        ("@include test.conf.%d\n", 1, "part of a URL"),
        ("@include x{a,b}*.conf\n", 1, "part of a URL"),
        ("@include **/*.conf\n", 1, "is not supported"),
        ("@include file:a.conf\n", 1, "only files"),
        ("<s>\n" * 40, 17, "sections more than 16 deep"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse(tmp_path, text)
    assert (caught.value.file, caught.value.line) == (tmp_path / "test.conf", line)


@pytest.mark.parametrize("name", ["test.conf", "./test.conf", "sub/../test.conf", "link.conf", "*.conf"])
def test_a_file_that_includes_itself_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.conf").symlink_to("test.conf")
    with pytest.raises(ConfigError, match=r"^.*test\.conf:2: @include: .*includes itself"):
        parse(tmp_path, f"\n@include {name}\n")


def test_files_that_include_each_other_too_deep_are_refused(tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / f"{n}.conf").write_text(f"@include {n + 1}.conf\n")
    with pytest.raises(ConfigError, match="files more than 16 deep"):
        parse_file(tmp_path / "0.conf", {})


def test_the_old_include_is_one_at_the_top_of_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("a 1\n")
    root = parse(tmp_path, "include a.conf\n<s>\n  include a.conf\n</s>\n")
    assert (root.parameters["a"].value, root.elements[0].parameters["include"].value) == ("1", "a.conf")


@pytest.mark.parametrize(
    ("written", "argument"),
    [
        ("<m>", ""),
        ("<m a b>", "a b"),
        ("<m  a  >", "a"),
        ('<m "a > b">', "a > b"),
        ("<m '#{a}'>", "#{a}"),
        ("<m \"x.#{ENV['X']}\">", "x.from X"),
        ('<m "">', ""),
    ],
)
def test_arguments_of_sections(tmp_path: Path, written: str, argument: str) -> None:
    (element,) = parse(tmp_path, f"{written}\n</m>\n", {"X": "from X"}).elements
    assert element.argument == argument


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    (tmp_path / "crlf.conf").write_bytes(b"<s a>\r\n  b 1 # c\r\n\r\n</s>\rd 2\r\n")
    root = parse_file(tmp_path / "crlf.conf", {})
    assert (root.elements[0].parameters["b"].value, root.parameters["d"].place.line) == ("1", 5)


@pytest.mark.parametrize(
    ("raw", "line", "reason"),
    [
        (b"\xef\xbb\xbfa 1\n", 1, "byte order mark"),
        (b"a 1\nb \xff\n", 2, "no text in UTF-8"),
        (b"a 1\nb \0\n", 2, "no text in UTF-8"),
        ("a 1\n".encode("utf-16"), 1, "no text in UTF-8"),
    ],
)
def test_files_in_another_encoding_are_refused(tmp_path: Path, raw: bytes, line: int, reason: str) -> None:
    (tmp_path / "a.conf").write_bytes(raw)
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_file(tmp_path / "a.conf", {})
    assert caught.value.line == line


@pytest.mark.parametrize("name", ["none.conf", "folder", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_file(tmp_path / name, {})


TAGS = ["<a>", "</a>", "<", ">", "[", "]", "{", "}", "@include", "include ", "#{", "ENV['A']", "|| "]
PIECES = st.sampled_from([*TAGS, *"\n\r\t \"'\\#*/~1é\ufeff\0", "..", "a.conf"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(lambda p: "".join(p).encode())))
def test_no_text_raises_anything_but_a_config_error(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "any.conf"
    file.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        parse_file(file, {"A": "x"})
