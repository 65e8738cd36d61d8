"""What each kind of rule takes for a secret, and what not."""

from __future__ import annotations

import itertools
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import RedactionKind, RedactionRule
from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.configuration.ruby_regexp import compile_ruby
from streaming.accumulator.redaction.finders import CardNumber, Finder, finder_of
from streaming.errors import ConfigError
from streaming.linear_regexp import LinearRegexp

PLACE = Place(Path("x.conf"), 7)


def finder(kind: RedactionKind, pattern: re.Pattern[str] | None = None) -> Finder:
    return finder_of(RedactionRule(PLACE, kind, kind, pattern, (), "[gone]"))


def left(found: Finder, text: str, key: str | None = None) -> str:
    """The text with `_` in the place of what is found."""
    raw = text.encode()
    for start, end in sorted(found.find(raw, key.encode() if key else None), reverse=True):
        raw = raw[:start] + b"_" + raw[end:]
    return raw.decode()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("card", "paid with 4111111111111111.", "paid with _."),
        ("card", "paid with 4111-1111-1111-1111, thanks", "paid with _, thanks"),
        ("card", "amex 3782 822463 10005", "amex _"),
        ("card", "order 12 4111 1111 1111 1111 78", "order 12 _ 78"),
        ("card", "4222222222222", "_"),
        ("card", "4111111111111112", "4111111111111112"),
        ("card", "id a4111111111111111", "id a4111111111111111"),
        ("card", "4111111111111111f", "4111111111111111f"),
        ("card", "0.4111111111111111", "0.4111111111111111"),
        ("card", "99994111111111111111999", "99994111111111111111999"),
        ("card", "at 2023-11-14 22:13:20.123456", "at 2023-11-14 22:13:20.123456"),
        ("email", "from Ann.O'Neil+x@mail.example.co.uk!", "from _!"),
        ("email", "von jürgen@bücher.example an", "von _ an"),
        ("email", "user@localhost", "user@localhost"),
        ("email", "@handle and a @ b.c", "@handle and a @ b.c"),
        ("bearer", "bearer eyJh.bGci-O_i= end", "bearer _ end"),
        ("bearer", "the bearer of news", "the bearer _ news"),
        ("bearer", "forbearer x", "forbearer x"),
        ("bearer", "Authorization: Basic dXNlcjpwdw==, Host: x", "Authorization: Basic _, Host: x"),
        ("bearer", '{"authorization":"secret"}', '{"authorization":"_"}'),
        ("bearer", "authorization=Bearer abc", "authorization=Bearer _"),
        ("bearer", 'Authorization: Digest username="a", response="b"\nHost', "Authorization: Digest _\nHost"),
        ("url_password", "postgres://ann:s3cr3t@db:5432/x?y=a@b", "postgres://ann:_@db:5432/x?y=a@b"),
        ("url_password", "redis://:p@ss@host", "redis://:_@host"),
        ("url_password", "https://host:8080/path?mail=a@b.de", "https://host:8080/path?mail=a@b.de"),
        ("url_password", '{"u":"http://x:80","m":"a@b.de"}', '{"u":"http://x:80","m":"a@b.de"}'),
    ],
)
def test_what_is_found(kind: RedactionKind, text: str, expected: str) -> None:
    assert left(finder(kind), text) == expected


@pytest.mark.parametrize("key", ["Authorization", "proxy-authorization", "AUTHORIZATION"])
def test_the_field_of_a_header_is_taken_whole(key: str) -> None:
    found = finder("bearer")
    assert left(found, "Basic dXNlcjpwdw==", key) == "Basic _"
    assert left(found, "something else", key) == "_"
    assert left(found, "something else", "author") == "something else"


def luhn(digits: str) -> bool:
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


@given(st.text(alphabet=string.digits + " -.x", max_size=60))
def test_cards_are_found_as_a_plain_search_finds_them(text: str) -> None:
    expected = set()
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            part, before, after = text[start:end], text[max(start - 2, 0) : start], text[end : end + 1]
            digits = part.replace(" ", "").replace("-", "")
            if not re.fullmatch(r"[0-9](?:[ -]?[0-9])*", part) or not 13 <= len(digits) <= 19 or not luhn(digits):
                continue
            if before[-1:].isalnum() or after.isalnum() or re.fullmatch(r"[0-9]\.", before):
                continue
            expected.add((start, end))
    found = list(CardNumber().find(text.encode(), None))
    assert {at for start, end in found for at in range(start, end)} == {at for s, e in expected for at in range(s, e)}
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))
    assert {start for start, _ in found} <= {start for start, _ in expected}


def test_a_card_as_a_number_begins_as_cards_of_payment_do() -> None:
    found = CardNumber()
    assert found.is_number(4111111111111111)
    assert not found.is_number(4111111111111112)
    assert not any(found.is_number(1_700_000_000_000 + n) for n in range(100))


# --------------------------------------------------------------------------------------- own patterns


@pytest.mark.parametrize(
    ("ruby", "text", "expected"),
    [
        (r"\bssn[=:]\s*\d{3}-\d{2}-\d{4}\b", "ssn: 123-45-6789, ssn=123-45-67890", "_, ssn=123-45-67890"),
        (r"^key \h+$", "a\nkey 0aF\nb", "a\n_\nb"),
        (r"[äöü]{2}.", "xäöüx", "x_x"),
        (r"\Asecret\z", "secret", "_"),
        (r"a{,2}b\u00e9[\u00e8-\u00ea]", "aabéé", "_"),
        (r"[\w.]+#\d", "a.b#1 c", "_ c"),
        (r"(?<name>pin)\s\d+", "my pin 123", "my _"),
    ],
)
def test_own_patterns_mean_what_they_mean_in_ruby(ruby: str, text: str, expected: str) -> None:
    assert left(finder("pattern", compile_ruby(ruby)), text) == expected


@pytest.mark.parametrize(
    "ruby", [r"(?<=x)y", r"x(?!y)", r"(a)\1", r"(?>a+)b", r"a++", r"end\Z", r"((a{100}){100}){100}"]
)
def test_what_needs_backtracking_is_refused_with_its_place(ruby: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.conf:7: pattern: .* cannot be searched in linear time"):
        finder("pattern", compile_ruby(ruby))


def test_it_is_refused_when_the_file_is_checked(tmp_path: Path) -> None:
    """Not first when an accumulator starts."""
    file = tmp_path / "x.conf"
    file.write_text(
        "<source>\n@type forward\n</source>\n"
        "<filter **>\n@type vigil_redact\n<rule>\ntype pattern\nname own\npattern /(?<=a)b/\n</rule>\n</filter>\n"
        "<match **>\n@type kafka2\nbrokers x:1\ndefault_topic t\n<format>\n@type json\n</format>\n</match>\n"
    )
    with pytest.raises(ConfigError, match=r"x\.conf:\d+: pattern: .* cannot be searched in linear time"):
        load_plan(file, {})


@pytest.mark.parametrize("ruby", [r"a*", r"|a", r"(x?)$"])
def test_what_takes_the_empty_text_is_refused(ruby: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.conf:7: pattern: .* the empty text"):
        finder("pattern", compile_ruby(ruby))


def test_no_text_makes_a_pattern_slow() -> None:
    """Python's `re` would take longer than the universe is old."""
    found = finder("pattern", compile_ruby(r"(a|a)+(a+)+$"))
    assert list(found.find(b"a" * 50_000 + b"!", None)) == []


PATTERNS = [
    r"\bssn[=:]\d{3}\b",
    r"^key (\h+)$",
    r"\Asecret.*\z",
    r"(?i:tok)en\B\w",
    r"[^$^\\b]x\$\^",
    r"a|\bb(c|$)|d",
    r"[\]$]{2}\b|[^\]^]y",
    r"x*y",
]
"""With all that stands for a place in the text, and with what only looks so."""


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(deadline=None, max_examples=40)  # the first example compiles a strategy
@given(data=st.data())
def test_a_hint_is_found_wherever_the_pattern_is_and_whatever_stands_around(pattern: str, data: st.DataObject) -> None:
    found = finder("pattern", compile_ruby(pattern))
    assert found.hint is not None
    text = data.draw(st.text(max_size=5) | st.just("")) + data.draw(
        st.from_regex(pattern.replace(r"\h", "[0-9a-f]").replace(r"\z", r"\Z"))
    )
    raw = text.encode()
    around = data.draw(st.binary(max_size=4)), data.draw(st.binary(max_size=4))
    hits = list(LinearRegexp(found.hint).spans(around[0] + raw + around[1]))
    for start, _ in found.find(raw, None):
        at = start + len(around[0])
        assert any(a <= at < b for a, b in hits)


@pytest.mark.parametrize("kind", ["card", "email", "bearer", "url_password"])
@given(
    text=st.lists(
        st.sampled_from(
            ["4111 1111 1111 1111", "a@b.co", "Bearer xyz", "Authorization: z", "u://a:b@c", " ", "1", "ä"]
        ),
        max_size=4,
    ).map("".join),
    around=st.tuples(st.binary(max_size=3), st.binary(max_size=3)),
)
def test_hints_of_the_kinds_too(kind: RedactionKind, text: str, around: tuple[bytes, bytes]) -> None:
    found = finder(kind)
    assert found.hint is not None
    hits = list(LinearRegexp(found.hint).spans(around[0] + text.encode() + around[1]))
    for start, _ in found.find(text.encode(), None):
        at = start + len(around[0])
        # A token's scheme is in the hint, and stands before it in the same text.
        assert any(a <= at < b for a, b in hits) or (
            kind in ("bearer", "url_password") and any(a <= at for a, _ in hits)
        )
