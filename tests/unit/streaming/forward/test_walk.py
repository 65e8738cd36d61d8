"""Walking: the same ends as the library finds, in any pieces, at any depth."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streaming.forward.walk import Malformed, Walk

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=300)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def values_in(value: object) -> int:
    if isinstance(value, msgpack.ExtType):
        return 1
    if isinstance(value, list):
        return 1 + sum(map(values_in, value))
    if isinstance(value, dict):
        return 1 + sum(values_in(k) + values_in(v) for k, v in value.items())
    return 1


@settings(deadline=None)  # the examples are long
@given(values=st.lists(VALUES, min_size=1, max_size=3), behind=st.binary(max_size=3), cut=st.integers(5, 50))
@example(values=[list(range(70_000)), dict.fromkeys(range(20), "x"), "x" * 70_000], behind=b"", cut=50_000)
@example(values=[dict.fromkeys(range(70_000)), list(range(20)), b"x" * 300], behind=b"", cut=50_000)
@example(values=[msgpack.ExtType(1, b"x" * n) for n in (1, 2, 3, 4, 8, 16, 300, 70_000)], behind=b"", cut=1_000)
def test_it_ends_where_the_values_end(values: list[object], behind: bytes, cut: int) -> None:
    data = b"".join(msgpack.packb(v) for v in values)
    walk = Walk(len(values))
    for end in range(cut, len(data), cut):
        assert not walk.advance(data[:end])
    assert walk.advance(data + behind)
    assert walk.at == len(data)
    assert walk.values == sum(map(values_in, values))


@given(value=VALUES, most=st.integers(0, 40))
def test_it_stops_past_so_many_values(value: object, most: int) -> None:
    walk = Walk()
    assert walk.advance(msgpack.packb(value), most) == (walk.values <= most) or walk.values == values_in(value)
    assert (walk.values > most) == (values_in(value) > most)


@given(data=st.binary(max_size=60))
def test_noise_ends_as_the_library_says(data: bytes) -> None:
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(data)
    expected: object
    try:
        unpacker.skip()
        expected = unpacker.tell()
    except msgpack.OutOfData:
        expected = None
    except (ValueError, msgpack.UnpackException) as error:
        expected = type(error)
    walk = Walk()
    try:
        found: object = walk.at if walk.advance(data) else None
    except Malformed:
        found = None
    if isinstance(expected, int):
        assert found == expected
    else:
        assert found is None


def test_depth_does_not_matter() -> None:
    data = b"\x91" * 1_000_000 + b"\x01"
    walk = Walk()
    assert walk.advance(data)
    assert walk.at == len(data)


def test_a_byte_that_is_never_used_is_refused() -> None:
    with pytest.raises(Malformed, match="at 1"):
        Walk().advance(b"\x91\xc1")
