"""The configuration language: read as Fluentd reads it, and every fault named with its place."""

from __future__ import annotations

import contextlib
import json
import socket
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
        ('["a", # first\n "b" # last\n]', '["a", "b"]'),
        ('["a#b", "x \\"#{ENV[\'X\']}\\" {"]', '["a#b", "x \\"from X\\" {"]'),
        ("\"#{ENV.fetch('X')}\"", "from X"),
        ("\"#{ENV.fetch('NONE', 'b')}\"", "b"),
        ("\"#{ENV['NONE'] || ENV['X'] || 'c'}\"", "from X"),
        ('"#{worker_id}"', "0"),
        ('"#{hostname}"', socket.gethostname()),
        ('"#{Socket.gethostname}!"', socket.gethostname() + "!"),
        (r'"a\0b"', "a\0b"),
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
        ('\na "#{hostnames}"\n', 2, "Ruby code"),
        ('a "#{use_nil}"\n', 1, "use_nil is not supported"),
        ("a \"#{ENV.fetch('NONE')}\"\n", 1, "NONE is not set"),
        ("a \"#{ENV['A'] + 'x'}\"\n", 1, "Ruby code"),
        ('<a "#{use_default}">\n</a>\n', 1, "where there is no default"),
        ('a "\\q"\n', 1, "unknown escape"),
        ("@include missing.conf\n", 1, "no file"),
        ("@include http://x/y.conf\n", 1, "only files"),
        ("<\n", 1, "neither a parameter nor a section"),
        ("<a\n</a>\n", 1, "does not end with >"),
        ("a 'x\ny'\n", 1, "single quotes"),
        ("a [1, 2\n", 1, "does not end"),
        ("a [ab]*.log\n", 1, "no JSON"),
        ('a ["x"] y\n', 1, "behind the value"),
        ('a ["#{x}"]\n', 1, "Ruby code"),
        ('a [["x" # why\n]]\n', 1, "# within an array"),
        ('a {"x": # why\n1}\n', 1, "# within an array"),
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


@pytest.mark.parametrize("written", ['"#{use_default}"', "\"#{ENV['NONE'] || use_default}\"", '"a#{use_default}b"'])
def test_a_parameter_that_says_use_default_is_not_given(tmp_path: Path, written: str) -> None:
    root = parse(tmp_path, f"a {written}\nb 1\n")
    assert list(root.parameters) == ["b"]
    assert value(tmp_path, "\"#{ENV['X'] || use_default}\"", {"X": "x"}) == "x"


@pytest.mark.parametrize(
    ("written", "name"),
    [('"two words" x', "two words"), ("'a#b' x", "a#b"), ('a>b"c x', 'a>b"c'), ("$.a[0] x", "$.a[0]")],
)
def test_names_of_parameters(tmp_path: Path, written: str, name: str) -> None:
    root = parse(tmp_path, f"<record>\n  {written}\n</record>\n")
    assert root.elements[0].parameters[name].value == "x"


def test_yaml_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "fluent.yaml").write_text("config: []\n")
    with pytest.raises(ConfigError, match="YAML is not supported"):
        parse_file(tmp_path / "fluent.yaml", {})


Tree = tuple[str, str, dict[str, str], list["Tree"]]


def tree_of(element: Element) -> Tree:
    return (
        element.name,
        element.argument,
        {name: given.value for name, given in element.parameters.items()},
        [tree_of(inner) for inner in element.elements],
    )


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
NAMES = st.from_regex(r"@?[a-z_][a-z0-9_.${}\[\]-]{0,8}", fullmatch=True).filter(
    lambda n: n not in ("include", "@include")
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def double_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("#", "\\#")
    return '"' + escaped + '"'


@st.composite
def values(draw: st.DrawFn) -> tuple[str, str]:
    """A value as it is written, and what it means."""
    if draw(st.integers(0, 3)) == 0:
        found = draw(st.lists(JSONS, max_size=3) | st.dictionaries(TEXTS, JSONS, max_size=3))
        written = json.dumps(found, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
        return written.replace("#", "\\u0023"), json.dumps(found)
    text = draw(TEXTS)
    forms = [double_quoted(text)]
    if "\n" not in text:
        forms.append("'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'")
    if (
        text
        and text.isascii()
        and text.isprintable()
        and text == text.strip()
        and text[0] not in "\"'[{#"
        and " #" not in text
    ):
        forms.append(text)
    return draw(st.sampled_from(forms)), text


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> tuple[str, Tree]:
    """A section as it is written, and its tree."""
    name = draw(st.sampled_from(["source", "match", "filter", "buffer", "x_1"])) if depth else ""
    argument = draw(st.sampled_from(["", "a.**", "{a,b} c", "time, tag", "a > b"])) if depth else ""
    lines: list[str] = []
    parameters: dict[str, str] = {}
    inner: list[Tree] = []
    for key in draw(st.lists(NAMES, max_size=3, unique=True)):
        written, parameters[key] = draw(values())
        lines.append(
            f"{key}{draw(st.sampled_from([' ', '  ', chr(9)]))}{written}{draw(st.sampled_from(['', '  # why', ' ']))}"
        )
    if depth < 2:
        for _ in range(draw(st.integers(0, 2))):
            text, tree = draw(elements(depth + 1))
            lines.append(text)
            inner.append(tree)
    body = "\n".join(draw(st.permutations(lines[: len(parameters)])) + lines[len(parameters) :])
    if not depth:
        return body + "\n", (name, argument, parameters, inner)
    shown = double_quoted(argument) if ">" in argument else argument
    return f"<{name} {shown}>\n# comment\n\n{body}\n</{name}>", (name, argument, parameters, inner)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(written=elements())
def test_what_is_written_is_read(tmp_path: Path, written: tuple[str, Tree]) -> None:
    text, tree = written
    assert tree_of(parse(tmp_path, text)) == tree
