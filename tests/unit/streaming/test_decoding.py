"""Typed decoding: what it takes and refuses, from several threads, and that nothing goes past it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streaming import decoding
from streaming.settings import CHECKOUT

SOURCES = ("streaming", "plugins", "infra", "microservices", "dags")
LEARN = ("msgspec.json.Decoder", "msgspec.msgpack.Decoder", "msgspec.convert")
LEARN_IF_TYPED = ("msgspec.json.decode", "msgspec.msgpack.decode")


class Point(msgspec.Struct):
    x: int
    names: list[str] = []


def test_a_message_and_what_is_none() -> None:
    assert decoding.decode(b'{"x": 1, "names": ["a"]}', Point) == Point(1, ["a"])
    assert decoding.decode('{"x": "7"}', Point, strict=False) == Point(7)
    assert decoding.converted({"x": 2}, Point) == Point(2)
    assert decoding.unpacked(msgspec.msgpack.encode(Point(3)), Point) == Point(3)
    assert decoding.decode(b"[1, null]", list[int | None]) == [1, None]
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$.x`"):
        decoding.decode('{"x": "7"}', Point)
    with pytest.raises(msgspec.DecodeError):
        decoding.decode(b"{", Point)
    with pytest.raises(TypeError):
        decoding.decoder(msgspec.Struct | Point | dict[str, int])


def test_a_decoder_is_made_once() -> None:
    assert decoding.decoder(Point) is decoding.decoder(Point)
    assert decoding.decoder(Point) is not decoding.decoder(Point, strict=False)


THREADS = """
import sys, threading, msgspec
from streaming import decoding
sys.setswitchinterval(1e-6)
for n in range(100):
    parts = [msgspec.defstruct(f"Part{n}_{k}", [(f"a{j}", dict[str, list[int]]) for j in range(5)]) for k in range(5)]
    whole = msgspec.defstruct(f"Whole{n}", [(f"f{k}", parts[k % 5] | None) for k in range(20)])
    raw = msgspec.json.encode({f"f{k}": None for k in range(20)})
    together = threading.Barrier(3)
    def decode():
        together.wait()
        decoding.decode(raw, whole)
    threads = [threading.Thread(target=decode) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def test_several_threads_learn_a_type_at_once() -> None:
    """With `msgspec.json.decode(raw, type=whole)` the process ends by SIGSEGV."""
    done = subprocess.run([sys.executable, "-c", THREADS], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def calls(source: Path) -> Iterator[str]:
    """Calls in a file that teach msgspec a type in whatever thread comes by."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        typed = any(keyword.arg == "type" for keyword in node.keywords) or len(node.args) > 1
        if (name in LEARN and (node.args or node.keywords)) or (name in LEARN_IF_TYPED and typed):
            yield f"{source}:{node.lineno}: {name}"


def test_nothing_goes_past_it() -> None:
    files = [file for folder in SOURCES for file in (CHECKOUT / folder).rglob("*.py")]
    assert len(files) > 300
    assert [call for file in files if file != Path(decoding.__file__) for call in calls(file)] == []
