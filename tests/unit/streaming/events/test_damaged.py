"""Text with bytes that are not UTF-8 is read as far as it can be, and kept whole beside it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events import damaged
from streaming.events.model import Event, Level, LogEvent, Unreadable
from streaming.events.parse import NOT_UTF8, parse


def read(value: bytes) -> Event | Unreadable:
    return parse(value, received_ns=1_795_500_000_000_000_000)


def test_a_line_in_latin_1_is_a_log_with_its_level() -> None:
    value = "2026-11-24 06:00:00 ERROR a.b.C: café fermé".encode("latin-1")
    event = read(value)
    assert isinstance(event, LogEvent)
    assert (event.level, event.message) == (Level.ERROR, r"caf\xe9 ferm\xe9")
    assert base64.b64decode(str(event.labels[damaged.LABEL])) == value
    assert event.original is not None


def test_a_record_with_a_broken_character_keeps_its_fields() -> None:
    event = read(b'{"log_level": "ERROR", "message": "caf\xe9 \\"x\\"", "service_name": "pay\xc3", "n": 7}')
    assert isinstance(event, LogEvent)
    assert (event.level, event.message, event.service) == (Level.ERROR, r'caf\xe9 "x"', r"pay\xc3")
    assert event.labels["n"] == 7


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", "UTF-16 text".encode("utf-16"), b"\x1f\x8b\x08\0\0\0\0\0" + b"\xa5" * 40]
)
def test_what_is_no_text_is_a_dead_letter(value: bytes) -> None:
    event = read(value)
    assert isinstance(event, Unreadable)
    assert event.reason == NOT_UTF8


@given(st.text("abc {}\"':,", min_size=20), st.binary(min_size=1, max_size=3), st.integers(0, 20))
def test_any_damage_keeps_the_bytes(text: str, damage: bytes, at: int) -> None:
    value = text[:at].encode() + damage + b"\xff" + text[at:].encode()
    event = read(value)
    if isinstance(event, LogEvent):
        assert base64.b64decode(str(event.labels[damaged.LABEL])) == value
    else:
        assert isinstance(event, Unreadable)
