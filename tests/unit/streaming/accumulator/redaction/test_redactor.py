"""Whole chunks: nothing that a rule names survives, what no rule names stays its bytes, events stay in place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import RedactionKind, RedactionRule
from streaming.accumulator.redaction.finders import finder_of
from streaming.accumulator.redaction.redactor import NOTE, WITHHELD, Redactor, Unredactable
from streaming.accumulator.redaction.rewrite import Rewriter
from streaming.forward import event_time
from streaming.forward.walk import VALUES_LIMIT
from tests.support.memory import peak_of

PLACE = Place(Path("x.conf"), 7)
KINDS: tuple[RedactionKind, ...] = ("card", "email", "bearer", "url_password")


def rule(kind: RedactionKind, pattern: str | None = None, *fields: tuple[str, ...]) -> RedactionRule:
    return RedactionRule(PLACE, kind, kind, re.compile(pattern) if pattern else None, fields, f"[{kind}]")


OWN = rule("pattern", r"\bpin \d{4}\b")
FIVE = [*map(rule, KINDS), OWN]
REDACTOR = Redactor(FIVE)
SINGLE = {kind: Redactor([rule(kind)]) for kind in KINDS}
FINDERS = {r.kind: finder_of(r) for r in FIVE}
SECRETS = {
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "email": ["ann@example.com", "bob.b+c@mail.example.org"],
    "bearer": ["Bearer eyJhbGciOi.x-y_z", "authorization=Basic dXNlcjpwdw"],
    "url_password": ["ftp://ann:hush@host/x"],
    "pattern": ["pin 1234"],
}
KEPT = {"bearer": r"(?i)^(bearer |authorization=basic )", "url_password": r"^ftp://ann:|@host/x$"}
"""Parts of these that are no secret."""

SECRET = st.sampled_from([(kind, text) for kind, texts in SECRETS.items() for text in texts])
CALM = st.text(alphabet=st.characters(exclude_categories=["Cs", "L", "N"], exclude_characters="@:-./="), max_size=5)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 10**12)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.integers(0, 2**60).map(event_time.encode)
)
HIDDEN = st.tuples(CALM, SECRET, CALM).map(lambda t: f"{t[0]} {t[1][1]} {t[2]}")


def nested(leaf: st.SearchStrategy[object], key: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=3), max_leaves=6
    )


CLEAN_RECORDS = st.dictionaries(st.text(max_size=6), nested(PLAIN, st.text(max_size=4)), max_size=4)
SECRET_RECORDS = st.dictionaries(
    st.text(max_size=6) | HIDDEN,
    nested(PLAIN | HIDDEN | HIDDEN.map(str.encode), st.text(max_size=4) | HIDDEN),
    max_size=4,
)


def entry(record: object, time: object = 1) -> bytes:
    return bytes(msgpack.packb([time, record]))


def unpacked(body: bytes) -> list[object]:
    unpacker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(body)
    return list(unpacker)


def texts(value: object) -> Iterable[bytes]:
    """All texts, binaries and keys of a value."""
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogateescape")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)


def secret_part(kind: str, text: str) -> bytes:
    return re.sub(KEPT.get(kind, "(?!)"), "", text).encode()


@settings(deadline=None, max_examples=60)
@given(records=st.lists(CLEAN_RECORDS | SECRET_RECORDS, max_size=3))
def test_nothing_that_a_rule_names_survives(records: list[dict[object, object]]) -> None:
    body = b"".join(map(entry, records))
    redacted, counts = REDACTOR.redact(body)
    before, after = unpacked(body), unpacked(redacted)
    assert len(after) == len(before)
    for text in texts(after):
        for kind, hidden in ((k, h) for k, all_ in SECRETS.items() for h in all_):
            assert secret_part(kind, hidden) not in text
    named = any(list(f.find(text, None)) for text in texts(before) for f in FINDERS.values())
    assert bool(counts) == named
    assert (redacted != body) == named


@settings(deadline=None, max_examples=60)
@given(records=st.lists(CLEAN_RECORDS | SECRET_RECORDS, max_size=3), kind=st.sampled_from(KINDS))
def test_what_no_rule_names_is_the_same_bytes(records: list[dict[object, object]], kind: RedactionKind) -> None:
    raw = [entry(r) for r in records]
    redacted, _ = SINGLE[kind].redact(b"".join(raw))
    found = FINDERS[kind]
    at = 0
    for one in raw:
        if any(list(found.find(text, None)) for text in texts(unpacked(one))):
            at += len(msgpack.packb(unpacked(redacted[at:])[0], unicode_errors="surrogateescape"))
        else:
            assert redacted[at : at + len(one)] == one
            at += len(one)
    assert at == len(redacted)


ODD = (
    b"\xcf"
    + bytes(7)
    + b"\x07"
    + b"\xda\x00\x01a"
    + b"\xca\x3f\x80\x00\x00"
    + b"\xdd\x00\x00\x00\x01\xc0"
    + b"\xdf"
    + bytes(4)
)
"""7 in nine bytes, a text of one letter in four, a float of four, an array and a map with the longest heads."""


def test_neighbours_of_a_secret_keep_their_own_way_of_being_written() -> None:
    head, tail = b"\xdc\x00\x02\x01\xde\x00\x01\xa1k\x97", ODD
    redacted, counts = Redactor(FIVE).redact(head + b"\xd9\x0fann@example.com" + b"\xc0" + tail)
    assert redacted == head + b"\xa7[email]" + b"\xc0" + tail
    assert counts == {"email": 1}


def test_times_ids_and_numbers_stay() -> None:
    record = {"ns": 1_700_000_000_123_456_789, "ms": 1_700_000_000_123, "trace": "4bf92f3577b34da6a3ce929d0e0e4736"}
    body = entry(record, event_time.encode(1_700_000_000_123_456_789)) * 3
    assert Redactor(FIVE).redact(body) == (body, {})


@pytest.mark.parametrize("packed", [msgpack.packb(4111111111111111), b"\xd3" + (4111111111111111).to_bytes(8, "big")])
def test_a_card_that_is_a_number_becomes_a_text(packed: bytes) -> None:
    body = b"\x92\x01\x81\xa1n" + packed
    assert unpacked(Redactor(FIVE).redact(body).body) == [[1, {"n": "[card]"}]]


def test_extensions_are_looked_into_and_event_times_are_not() -> None:
    record = {"e": msgpack.ExtType(5, b"ann@example.com"), "t": msgpack.ExtType(0, b"a@b.coco")}
    found = unpacked(Redactor(FIVE).redact(entry(record)).body)
    assert found == [[1, {"e": b"[email]", "t": msgpack.ExtType(0, b"a@b.coco")}]]


def test_the_header_authorization_in_a_field() -> None:
    record = {"Headers": {"Authorization": ["Basic dXNlcjpwdw==", "other"], "Host": "x"}, "authorization": "plain"}
    found = unpacked(Redactor([rule("bearer")]).redact(entry(record)).body)
    after = {"Authorization": ["Basic [bearer]", "[bearer]"], "Host": "x"}
    assert found == [[1, {"Headers": after, "authorization": "[bearer]"}]]


def test_rules_of_fields_look_there_alone_and_below() -> None:
    rules = [rule("email", None, ("user", "contact"), ("mail",)), rule("pattern", r"x+", ("deep", "er", "still"))]
    secret = "a@b.co"
    record = {
        "mail": secret,
        "text": secret,
        secret: 1,
        "user": {"contact": {"any": [secret, {"way": secret}]}, "name": secret, "mail": secret},
        "deep": [{"er": [{"still": "xx", "x": "xx"}]}, "xx"],
    }
    redacted, counts = Redactor(rules).redact(entry(record) + entry("a@b.co") + entry(["a@b.co"]))
    assert unpacked(redacted) == [
        [
            1,
            {
                "mail": "[email]",
                "text": secret,
                secret: 1,
                "user": {"contact": {"any": ["[email]", {"way": "[email]"}]}, "name": secret, "mail": secret},
                "deep": [{"er": [{"still": "[pattern]", "x": "xx"}]}, "xx"],
            },
        ],
        [1, secret],
        [1, [secret]],
    ]
    assert counts == {"email": 3, "pattern": 1}


LONG_KEY = "k" * 300
FIELD_RULES = [
    rule("card", None, ("pay", "card")),
    rule("pattern", r"\bx*\b", ("free",)),
    rule("email", None, (LONG_KEY,)),
]


@settings(deadline=None)
@given(
    record=st.dictionaries(
        st.sampled_from(["pay", "card", "free", "shopping card", LONG_KEY, "Authorization"]),
        st.recursive(
            st.sampled_from(["4111 1111 1111 1111", "a xxx", "a@b.co", "Basic abc", 4111111111111111, 7]),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["card", "free", "x"]), inner, max_size=2)
            ),
            max_leaves=5,
        ),
        max_size=4,
    ),
    everywhere=st.sampled_from([[], [rule("bearer")], [rule("email")]]),
)
def test_a_chunk_is_redacted_as_if_all_of_it_were_looked_at(
    record: dict[str, object], everywhere: list[RedactionRule]
) -> None:
    body = entry({"calm": 1}) + entry(record) + entry({"calm": 2})
    redactor = Redactor(FIELD_RULES + everywhere)
    rewriter = Rewriter(redactor._rules)
    at = len(entry({"calm": 1}))
    whole = rewriter.rewrite(body, at, at + len(entry(record)), None)
    redacted, counts = redactor.redact(body)
    assert redacted == entry({"calm": 1}) + whole + entry({"calm": 2})
    assert counts == rewriter.counts


def test_where_rules_overlap_one_replacement_stands_for_all() -> None:
    rules = [rule("pattern", r"ann@|om tail"), rule("email")]
    found = unpacked(Redactor(rules).redact(entry({"m": "hi ann@example.com tail"})).body)
    assert found == [[1, {"m": "hi [pattern]"}]]


def test_a_rule_without_a_hint_is_searched_everywhere() -> None:
    found = Redactor([rule("pattern", r"\bx*\b"), rule("email")]).redact(entry({"m": "a xxx b@c.de"}))
    assert unpacked(found.body) == [[1, {"m": "a [pattern] [email]"}]]


@pytest.mark.parametrize("junk", [b"\xa7a@b.com", b"\x05", b"\x93\x01\x80\xa6a@b.co", b"\x91\x81\xa6a@b.co\x01"])
def test_what_is_no_event_is_redacted_all_the_same(junk: bytes) -> None:
    body = entry({"m": "a@b.co"}) + junk + entry({"n": 1})
    redacted, _ = Redactor([rule("email")]).redact(body)
    assert b"@" not in redacted
    assert len(unpacked(redacted)) == 3


def test_an_entry_of_any_depth_is_redacted() -> None:
    deep = b"\x92\x01" + b"\x81\xa1a" * 5_000 + b"\xa6a@b.co"
    redacted, _ = Redactor([rule("email", None, ("b", "c")), rule("email")]).redact(deep + entry({"m": "a@b.co"}))
    assert redacted == deep.replace(b"\xa6a@b.co", b"\xa7[email]") + entry({"m": "[email]"})


def test_a_note_takes_the_place_of_an_event_of_too_many_values() -> None:
    """Walking its millions of values would hold up all other senders."""
    many = entry({"list": [0] * VALUES_LIMIT, "m": "a@b.co"})
    calm = entry({"list": [0] * VALUES_LIMIT})
    redacted, counts = Redactor(FIVE).redact(many + calm + entry({"m": "a@b.co"}))
    note, *rest = unpacked(redacted)
    assert note == [0, {"message": NOTE.format(len(many))}]
    assert rest == unpacked(calm + entry({"m": "[email]"}))
    assert counts == {WITHHELD: 1, "email": 1}


@pytest.mark.parametrize("text", ["0 " * 10_000, "a@b.co " * 3_000, "://a:b@c " * 3_000])
def test_memory_does_not_grow_with_what_is_found(text: str) -> None:
    """Of the first text nearly every row of groups passes for a card: one event held a process for minutes, with 600
    bytes of memory for each of its own."""
    body = entry({"m": text})
    (redacted, counts), peak = peak_of(lambda: REDACTOR.redact(body))
    assert counts
    buffer_of_msgpack = 2**20
    assert peak < 6 * max(len(body), len(redacted)) + 1.1 * buffer_of_msgpack


@settings(deadline=None)
@given(record=SECRET_RECORDS, cut=st.integers(1, 30), junk=st.binary(max_size=3))
@example(record={"m": "a@b.co"}, cut=1, junk=b"")
@example(record={"m": "ann@example.com"}, cut=1, junk=b"\xc1")
@example(record={" ftp://ann:hush@host/x \x80": None}, cut=11, junk=b"")
def test_what_is_cut_off_is_refused_unless_it_names_nothing(record: object, cut: int, junk: bytes) -> None:
    """Cut within a secret, what is left of it may be nothing that a rule knows: `ftp://ann:hush` without its host."""
    whole = entry(record)
    body = whole[: max(len(whole) - cut, 0)] + junk
    try:
        redacted, _ = REDACTOR.redact(body)
    except Unredactable:
        return
    if redacted == body:
        assert not [name for name, finder in FINDERS.items() if list(finder.find(body, None))]
    for kind, hidden in ((k, h) for k, all_ in SECRETS.items() for h in all_ if h.encode() in body):
        assert secret_part(kind, hidden) not in redacted
