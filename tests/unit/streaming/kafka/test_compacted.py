"""The values of a compacted topic."""

from __future__ import annotations

import msgspec
import pytest

from streaming.kafka.compacted import readable


class Thing(msgspec.Struct):
    name: str


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b"\xff\x00", b'{"name":7}', b'{"name":"\xff"}'])
def test_one_that_cannot_be_read_does_not_keep_the_others_from_being_read(value: bytes) -> None:
    good = msgspec.json.encode(Thing("a"))
    records = {b"1": value, b"2": good, b"\xff": value}
    assert readable(records, Thing, "things", "worker") == {b"2": Thing("a")}
