"""A cut record fits, is JSON, says how large it was, and keeps what a reader looks for."""

from __future__ import annotations

import json

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.delivery.events import ORIGINAL
from streaming.accumulator.delivery.truncation import TRUNCATED, cut
from streaming.events.model import Json

TEXTS = st.one_of(
    st.text(max_size=40), st.builds(lambda c, n: c * n, st.characters(exclude_categories=["Cs"]), st.integers(0, 9_000))
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=300), inner, max_size=6)),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=400), VALUES, max_size=8), st.integers(200, 4_000))
def test_it_always_fits_and_says_so(record: dict[str, Json], limit: int) -> None:
    value = cut(record, 12_345, limit)
    assert len(value) <= limit
    assert json.loads(value)[TRUNCATED] == 12_345
    assert cut(record, 12_345, limit) == value


def test_long_texts_lose_their_ends_and_short_ones_stay() -> None:
    record: dict[str, Json] = {"node_id": "n", "message": "m" * 2_000_000, "stack": "s" * 100_000, ORIGINAL: "x" * 9}
    said = json.loads(cut(record, 2_100_000, 1_000_000))
    assert (said["node_id"], len(said["message"]), len(said["stack"])) == ("n", 262_144, 100_000)
    assert ORIGINAL not in said


def test_of_too_many_values_the_plain_ones_stay() -> None:
    record: dict[str, Json] = {"deep": {str(n): n for n in range(5_000)}, "node_id": "n", "message": "m" * 10_000}
    said = json.loads(cut(record, len(orjson.dumps(record)), 1_000))
    assert said["node_id"] == "n"
    assert said["message"] == "m" * 256
    assert "deep" not in said
