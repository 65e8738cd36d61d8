"""A fingerprint is the same for ever: across caches, processes and time."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.fingerprint import masking, shapes
from streaming.fingerprint.masking import mask
from streaming.fingerprint.recent import Recent
from streaming.fingerprint.shapes import VERSION, fingerprint, fingerprint_of_mask

GOLDEN: dict[str, str] = {
    "": "2c24246e48967bac",
    "order 4711 took 35 ms": "2f342d48ee1b4891",
    "Failed password for root from 112.95.230.3 port 45378 ssh2": "f522f2de85ef2249",
    "user 'alice' is unknown": "5e13d4dd97c8522c",
    "cannot open /var/log/messages: no such file": "b2c21399554c8a56",
    "at Fri Jun 17 07:07:00 2005 it began": "5570811a970e5008",
    "Größe überschritten: 17 > 3": "dac77f8716898765",
    "nothing to mask here": "00c3e15400cc404d",
}
"""As documents carry them. A change here is a change of `VERSION`."""


@pytest.mark.parametrize("message", GOLDEN)
def test_is_what_it_always_was(message: str) -> None:
    assert VERSION == 1
    assert fingerprint(message) == GOLDEN[message]


@given(st.text(max_size=300))
def test_follows_from_the_masked_text_alone(message: str) -> None:
    assert fingerprint(message) == fingerprint_of_mask(mask(message)) == fingerprint(message)


def test_no_rule_asks_which_characters_are_letters() -> None:
    """Which each version of Python, with its version of Unicode, answers anew."""
    rules = [rule for rule in vars(masking).values() if isinstance(rule, re.Pattern)]
    assert len(rules) > 10
    unicode = [rule.pattern for rule in rules if not rule.flags & re.ASCII and re.search(r"\\[wWbB]", rule.pattern)]
    assert unicode == []


def test_shapes_are_told_apart() -> None:
    assert fingerprint("order 1 paid") == fingerprint("order 998 paid")
    assert fingerprint("order 1 paid") != fingerprint("order 1 cancelled")


def test_another_process_agrees() -> None:
    program = "from streaming.fingerprint.shapes import fingerprint; print(fingerprint('order 17 paid by \\'eve\\''))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint("order 5 paid by 'adam'")}


def test_a_document_read_back_has_the_same() -> None:
    from streaming.events.json_text import clean_text

    half = "bad \ud83d char 7"
    assert fingerprint(half) == fingerprint(clean_text(half))


def test_memory_is_bounded_and_keeps_what_is_asked_for() -> None:
    asked: list[int] = []

    def compute(key: int) -> int:
        asked.append(key)
        return -key

    recent = Recent(compute, 10, keep=lambda key: key != 77)
    for key in range(1, 200):
        assert recent[0] == 0
        assert recent[key] == -key
        assert len(recent) <= 10
    assert asked.count(0) == 1
    assert recent[77] == recent[77] == -77
    assert asked.count(77) >= 3


def test_caches_stay_small_whatever_comes() -> None:
    for number in range(3 * shapes.SHAPES_KEPT):
        fingerprint(f"shape {number:x}z".translate({ord(d): chr(ord("g") + int(d)) for d in "0123456789"}))
    assert len(shapes._by_zeroed) <= shapes.SHAPES_KEPT
    assert len(shapes._by_skeleton) <= shapes.SHAPES_KEPT
