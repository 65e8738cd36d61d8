"""The map of templates: a function of the shapes, bounded, the same after a restart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.fingerprint.masking import mask
from streaming.fingerprint.shapes import fingerprint, fingerprint_of_mask
from streaming.templates.book import Book
from streaming.templates.merging import MERGE_VERSION
from streaming.templates.messages import Placed, Shape
from tests.support.synthetic_logs import NAMES, messages


def shape(message: str, first_seen_ms: int = 1_000) -> Shape:
    return Shape(fingerprint(message), mask(message), message, first_seen_ms)


LOGIN = [shape(f"user logged in as {name} from 10.0.0.{n}") for n, name in enumerate(NAMES)]
OTHER = shape("shutdown requested by 7")


def published(book: Book) -> dict[str, Placed]:
    return {placed.fingerprint: placed for placed in book.merge()}


def test_shapes_that_are_alike_get_one_template() -> None:
    book = Book()
    for known in [*LOGIN, OTHER]:
        assert book.take(known, 5)
    found = published(book)
    assert {found[known.fingerprint].text for known in LOGIN} == {"user logged in as <*> from <*>"}
    assert found[OTHER.fingerprint].text == OTHER.masked
    assert found[OTHER.fingerprint].template == OTHER.fingerprint, "a shape alone is its own template"
    assert found[LOGIN[0].fingerprint].template == fingerprint_of_mask("user logged in as <*> from <*>")
    assert not book.due
    assert book.summary.shapes == len(LOGIN) + 1
    assert book.summary.templates == 2


def test_only_what_changes_is_published() -> None:
    book = Book()
    first, second, third = LOGIN[:3]
    book.take(first, 5)
    book.take(second, 5)
    assert {p.text for p in book.merge()} == {first.masked, second.masked}
    book.take(OTHER, 5)
    assert [p.fingerprint for p in book.merge()] == [OTHER.fingerprint]
    book.take(third, 5)
    assert set(published(book)) == {first.fingerprint, second.fingerprint, third.fingerprint}
    book.take(third, 6)
    assert not book.due, "told again, nothing new"


def test_the_earliest_time_stays() -> None:
    book = Book()
    for seen_ms in (700, 300, 900):
        book.take(shape("order 7 paid", seen_ms), 5)
    assert [p.first_seen_ms for p in book.merge()] == [300]
    book.take(shape("order 7 paid", 100), 5)
    assert [p.first_seen_ms for p in book.merge()] == [100]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_neither_order_nor_rounds_matter(seed: int, rnd: random.Random) -> None:
    shapes = [shape(text) for text, _ in messages(150, seed)]
    at_once, bit_by_bit = Book(), Book()
    for known in shapes:
        at_once.take(known, 5)
    expected = {name: placed.text for name, placed in published(at_once).items()}
    rnd.shuffle(shapes)
    found: dict[str, str] = {}
    for number, known in enumerate(shapes):
        bit_by_bit.take(known, 5)
        if number % 40 == 0:
            found |= {name: placed.text for name, placed in published(bit_by_bit).items()}
    found |= {name: placed.text for name, placed in published(bit_by_bit).items()}
    assert found == expected


def test_a_restart_changes_nothing() -> None:
    shapes = {shape(text).fingerprint: shape(text) for text, _ in messages(500, 3)}
    before = Book()
    for known in shapes.values():
        before.take(known, 5)
    kept = published(before)
    after = Book()
    after.restore(kept.values(), before.summary)
    for known in sorted(shapes.values(), key=lambda s: s.masked):
        after.take(Shape(known.fingerprint, known.masked, known.example, known.first_seen_ms + 1), 6)
    assert after.merge() == []
    assert after.summary == before.summary


def test_another_version_of_merging_publishes_all_anew() -> None:
    book = Book()
    old = Placed(OTHER.fingerprint, "0" * 16, "what it was called then", 5, MERGE_VERSION - 1)
    book.restore([old], None)
    book.take(OTHER, 9)
    assert book.merge() == [Placed(OTHER.fingerprint, OTHER.fingerprint, OTHER.masked, 5, MERGE_VERSION)]


def test_what_is_too_much_is_refused_and_counted() -> None:
    book = Book(limit=10)
    taken = [book.take(known, 5) for known in LOGIN]
    assert taken == [True] * 10 + [False] * (len(LOGIN) - 10)
    assert len(book.merge()) == 10
    assert book.summary.refused == len(LOGIN) - 10
    assert not book.take(OTHER, 5)
    assert book.due, "so that the count is published"
    assert book.merge() == []
    assert book.take(LOGIN[0], 5), "what has its place keeps it"


def test_a_template_goes_on_covering_when_there_is_no_room_to_compare() -> None:
    book = Book(compared=60)
    names = [f"{a}{b}" for a in NAMES for b in NAMES]
    logins = [shape(f"user logged in as {name} from 10.0.0.1") for name in names]
    found: dict[str, str] = {}
    for number, known in enumerate(logins):
        assert book.take(known, 5)
        if number % 50 == 49:
            found |= {name: placed.text for name, placed in published(book).items()}
    book.take(OTHER, 5)
    for _ in range(10):
        found |= {name: placed.text for name, placed in published(book).items()}
        for known in logins:  # the next day's telling
            book.take(known, 6)
    assert found[OTHER.fingerprint] == OTHER.masked
    assert {found[known.fingerprint] for known in logins} == {"user logged in as <*> from <*>"}


def test_nor_does_a_restart_when_not_all_can_be_compared() -> None:
    shapes = [shape(f"user logged in as {name} from 10.0.0.1") for name in NAMES] + [
        shape(text) for text, _ in messages(300, 5)
    ]
    before = Book(compared=120)
    kept: dict[str, Placed] = {}
    for number, known in enumerate(shapes):
        before.take(known, 5)
        if number % 20 == 0:
            kept |= published(before)
    kept |= published(before)
    placed = [known for known in shapes if known.fingerprint in kept]
    assert len({known.fingerprint for known in placed}) > 120
    after = Book(compared=120)
    after.restore(kept.values(), before.summary)
    for known in reversed(placed):
        after.take(known, 6)
    assert after.merge() == []


def test_what_was_not_seen_for_long_is_forgotten() -> None:
    book = Book()
    book.take(LOGIN[0], 100)
    book.take(OTHER, 100)
    book.merge()
    book.take(OTHER, 200)
    assert book.forget(150) == [LOGIN[0].fingerprint]
    assert book.forget(150) == []
    assert book.summary.shapes == 1
    assert book.take(LOGIN[0], 300)
    assert [p.fingerprint for p in book.merge()] == [LOGIN[0].fingerprint]


@pytest.mark.parametrize("count", [100_000])
def test_a_flood_of_shapes_is_bounded(count: int) -> None:
    book = Book(limit=500, compared=200)
    for number in range(count):
        book.take(Shape(f"{number:016x}", f"flood {number}", "", 1), 5)
    assert book.summary.shapes == 200, "none covers another"
    assert book.summary.refused == count - 200
    assert len(book.merge()) == 200
