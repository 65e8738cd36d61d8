"""What is sent for a line, and which time it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.replay.files import STDIN, Line
from streaming.replay.records import Source, json_object, record_of, source_of, time_of

PLAIN = Source(Path("Apache_2k.log"), "apache", "replay-apache")


def test_a_plain_line_is_told_with_its_place_and_no_log_id() -> None:
    assert record_of(Line(81, b"[error] state 6"), PLAIN) == {
        "message": "[error] state 6",
        "service_name": "apache",
        "node_id": "replay-apache",
        "log.file.path": "Apache_2k.log",
        "log.offset": 81,
    }


def test_what_is_not_utf8_goes_as_bytes() -> None:
    assert record_of(Line(0, b"caf\xe9"), PLAIN)["message"] == b"caf\xe9"


def test_a_json_object_is_sent_as_it_is_unless_that_is_switched_off() -> None:
    text = b'{"log_level": "ERROR", "message": "no"}'
    assert record_of(Line(0, text), PLAIN) == {"log_level": "ERROR", "message": "no"}
    never = Source(PLAIN.path, "apache", "n", json_lines=False)
    assert record_of(Line(0, text), never)["message"] == text.decode()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 18446744073709551616}',
        b'{"a": 1e999}',
        b'{"a": 0.12345678901234567890123}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a": 1',
        b"[1]",
        b'{"a": "\xff"}',
    ],
)
def test_json_that_could_not_be_carried_unchanged_is_text(text: bytes) -> None:
    assert json_object(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_any_other_object_comes_through_unchanged(value: dict[str, object]) -> None:
    text = json.dumps(value).encode()
    expected = None if _infinite(value) else value
    assert json_object(text) == expected


def _infinite(value: object) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, dict):
        return any(map(_infinite, value.values()))
    return isinstance(value, list) and any(map(_infinite, value))


@pytest.mark.parametrize(
    ("name", "service"),
    [("Apache_2k.log", "apache"), ("access.log.gz", "access"), ("OpenSSH", "openssh"), ("_x.log", "replay")],
)
def test_the_service_is_told_by_the_file_name(name: str, service: str) -> None:
    source = source_of(Path("/var/log") / name)
    assert (source.service, source.node_id) == (service, f"replay-{service}")


def test_standard_input_has_a_service_too() -> None:
    assert source_of(STDIN).service == "stdin"
    assert source_of(STDIN, service="api").node_id == "replay-api"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"2005-12-04 04:47:44 ERROR x", 1_133_671_664),
        (b"[Sun Dec 04 04:47:44 2005] [error] x", 1_133_671_664),
        (b'{"timestamp": "2005-12-04T04:47:44Z", "message": "x"}', 1_133_671_664),
        (b'{"message_type":"HEARTBEAT","node_id":"n","timestamp":"2005-12-04T04:47:44Z"}', 1_133_671_664),
        (b"Dec  4 04:47:44 host app: x", 1_764_823_664),  # of the year before the file was written
        (b"    at a.b.C(C.java:7)", None),
        (b'{"message": "x"}', None),
        (b'{"message_type":"HEARTBEAT","node_id":"n"}', None),
        (b"\xff\xfe", None),
        (b"{}", None),
    ],
)
def test_the_time_of_a_line_is_what_the_indexer_will_read(text: bytes, seconds: int | None) -> None:
    written_ns = 1_790_000_000 * 10**9  # September 2026
    expected = None if seconds is None else seconds * 10**9
    assert time_of(Line(0, text), PLAIN, written_ns) == expected


def test_json_that_is_sent_as_text_has_the_time_of_a_text() -> None:
    never = Source(PLAIN.path, "apache", "n", json_lines=False)
    assert time_of(Line(0, b'{"timestamp": "2005-12-04T04:47:44Z"}'), never, 0) is None
    assert time_of(Line(0, b"2005-12-04 04:47:44 x"), never, 0) == 1_133_671_664 * 10**9
