"""Coordinates survive their journey as a Kafka header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events.coordinates import Coordinates, Replay, decode, decode_replay, encode, encode_replay

NAMES = st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1)
COUNTS = st.integers(min_value=0, max_value=2**63 - 1)


@given(st.builds(Coordinates, NAMES, NAMES, COUNTS, COUNTS, COUNTS, COUNTS, st.text()))
def test_round_trip(coordinates: Coordinates) -> None:
    assert decode(encode(coordinates)) == coordinates


@given(st.binary())
def test_foreign_headers_are_refused_with_value_error_alone(value: bytes) -> None:
    try:
        decode(value)
    except ValueError:
        return
    assert value.count(b":") >= 6


@pytest.mark.parametrize("numbers", [b"9" * 30 + b":0:1", b"1:%d:1" % 2**63, b"1:-1:1", b"1:" + b"9" * 5_000 + b":1"])
def test_a_header_that_counts_further_than_any_accumulator_is_foreign(numbers: bytes) -> None:
    with pytest.raises(ValueError, match=r"counts that far|Exceeds the limit"):
        decode(b"acc1:3f9a:" + numbers + b":0:app")


def test_the_key_names_the_event() -> None:
    assert Coordinates("acc1", "3f9a", 7, 2, 1, 0, "app").key == "acc1.3f9a:7:2"
    with pytest.raises(ValueError, match="not enough values"):
        decode(b"acc1:3f9a:7")


@given(
    st.builds(Replay, NAMES, st.integers(1, 2**63 - 1), st.none(), st.just(""))
    | st.builds(Replay, NAMES, st.integers(1, 2**63 - 1), COUNTS, st.text(alphabet="ab:-1"))
)
def test_a_replay_comes_back_as_it_was(replay: Replay) -> None:
    assert decode_replay(encode_replay(replay)) == replay


@given(st.none() | st.text() | st.binary() | st.from_regex(rb"r?:[0-9]{0,25}(:[0-9x-]{0,25})?(:.*)?"))
def test_what_is_no_replay_is_none(value: object) -> None:
    found = decode_replay(value)
    assert found is None or (isinstance(value, bytes) and found.replay_id and 0 < found.sequence < 2**63)
