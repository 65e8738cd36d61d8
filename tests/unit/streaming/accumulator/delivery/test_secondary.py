"""Secondary files: durable, readable line by line, and the same when they are written again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.delivery import secondary
from streaming.accumulator.delivery.outgoing import ToFile
from streaming.errors import ConfigError
from streaming.events.coordinates import Coordinates, encode


def item(value: bytes, position: int = 0, key: bytes | None = b"n-1", tag: str = "app") -> ToFile:
    place = Coordinates("accumulator1", "0badcafe", 7, position, 5, 6, tag)
    return ToFile(None, "logs", key, value, encode(place), "too-large")


@given(
    st.lists(st.tuples(st.binary(max_size=30), st.none() | st.just(b"k"), st.text(max_size=5)), min_size=1, max_size=5)
)
def test_every_value_comes_back(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[bytes, bytes | None, str]]
) -> None:
    items = [item(value, n, key, tag) for n, (value, key, tag) in enumerate(found)]
    file = secondary.write(tmp_path_factory.mktemp("secondary"), items)
    kept = list(secondary.read(file))
    assert [k.raw for k in kept] == [value for value, _, _ in found]
    assert [k.key for k in kept] == [key.decode() if key else None for _, key, _ in found]
    assert {(k.topic, k.reason) for k in kept} == {("logs", "too-large")}
    assert [k.coordinates.split(":")[3] for k in kept] == [str(n) for n in range(len(found))]


def test_written_again_it_is_the_same_file(tmp_path: Path) -> None:
    first = secondary.write(tmp_path, [item(b"a"), item(b"b", 1)])
    raw = first.read_bytes()
    assert secondary.write(tmp_path, [item(b"a"), item(b"b", 1)]) == first
    assert [f.name for f in tmp_path.iterdir()] == ["accumulator1-0badcafe-7-0.jsonl"]
    assert first.read_bytes() == raw


@pytest.mark.parametrize(
    "line", ['{"topic":"logs"}', "no json", '{"topic":"logs","reason":"x","coordinates":"a:b:1:0:1:1:t"}']
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    file = secondary.write(tmp_path, [item(b"a")])
    with file.open("a") as out:
        out.write(line + "\n")
    with pytest.raises(ConfigError, match=rf"{file}:2: not a line of a secondary file"):
        list(secondary.read(file))
