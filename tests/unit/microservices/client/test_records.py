from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservices.client.identity import Identity, iso
from microservices.client.records import level_name, log_of, plain
from microservices.client.tracing import Span
from streaming.forward.sender import pack_entry

NOW = 1_700_000_000_123_456_789
ORDER = Identity("order", "order-1")


def log(level: int = logging.INFO, message: object = "hello", *args: object, **extra: object) -> dict[str, object]:
    record = logging.LogRecord("shop", level, __file__, 1, message, args, None)
    record.__dict__.update(extra)
    return log_of(record, ORDER, NOW, None)


def test_an_info_log_is_canonical() -> None:
    found = log(logging.INFO, "hello %s", "you")
    log_id = found.pop("log_id")
    assert str(log_id).startswith(f"order-1-{ORDER.instance_id}-")
    assert found == {
        "node_id": "order-1",
        "log_level": "INFO",
        "message_type": "LOG",
        "message": "hello you",
        "service_name": "order",
        "timestamp": "2023-11-14T22:13:20.123456Z",
        "logger": "shop",
    }


def test_a_slow_answer_carries_its_times() -> None:
    found = log(logging.WARNING, response_time_ms=812.5, threshold_limit_ms=300)
    assert (found["log_level"], found["response_time_ms"], found["threshold_limit_ms"]) == ("WARN", 812.5, 300)
    assert "error_details" not in found


@pytest.mark.parametrize(("level", "name"), [(logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL")])
def test_an_error_always_has_details(level: int, name: str) -> None:
    found = log(level, "broken")
    assert found["log_level"] == name
    assert found["error_details"] == {"error_code": "UNSPECIFIED", "error_message": "broken"}


def test_details_may_be_given_whole_or_in_parts() -> None:
    parts = log(logging.ERROR, "broken", error_code="E1", error_message="why")
    assert parts["error_details"] == {"error_code": "E1", "error_message": "why"}
    assert "error_code" not in parts
    whole = log(logging.ERROR, "broken", error_details={"error_code": 7, "hint": "h"})
    assert whole["error_details"] == {"error_code": 7, "error_message": "broken", "hint": "h"}
    assert log(logging.ERROR, "broken", error_details="text")["error_details"] == {
        "error_code": "UNSPECIFIED",
        "error_message": "text",
    }


def test_an_exception_gives_code_message_and_stack() -> None:
    try:
        raise KeyError("sku")
    except KeyError:
        record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    details = log_of(record, ORDER, NOW, None)["error_details"]
    assert isinstance(details, dict)
    assert (details["error_code"], details["error_message"]) == ("KeyError", "'sku'")
    assert "test_records.py" in details["stack"]


def test_a_span_is_carried() -> None:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "in a span", (), None)
    found = log_of(record, ORDER, NOW, Span("t" * 32, "s" * 16, "p" * 16, NOW))
    assert found["trace_id"] == "t" * 32
    assert (found["span_id"], found["parent_span_id"]) == ("s" * 16, "p" * 16)
    assert found["start_time"] == found["timestamp"]


def test_extra_never_hides_a_canonical_field() -> None:
    found = log(log_id="mine", sku="book")
    assert found["extra_log_id"] == "mine"
    assert found["log_id"] != "mine"
    assert found["sku"] == "book"


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_a_log_survives_arguments_that_do_not_fit() -> None:
    assert log(logging.INFO, "%d apples", "two")["message"].__str__().startswith("%d apples (arguments")
    assert "Rude" in str(log(logging.INFO, Rude())["message"])
    assert "Rude" in str(log(what=Rude())["what"])


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    pack_entry(NOW, log(loop=loop))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=[]))
    | st.binary()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.integers() | st.text(), inner)
        | st.tuples(inner)
        | st.frozensets(st.text())
    ),
    max_leaves=15,
)


@given(values)
def test_any_value_can_be_packed_and_is_json(value: object) -> None:
    carried = msgpack.unpackb(pack_entry(NOW, {"v": plain(value)}))[1]["v"]
    json.dumps(carried, allow_nan=False)


@given(st.integers(-5, 100))
def test_levels_are_canonical(number: int) -> None:
    ranks = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    assert ranks.index(level_name(number)) == max(0, min(number // 10, 5))


@given(st.integers(0, 4 * 10**18))
def test_times_are_iso_to_the_microsecond(time_ns: int) -> None:
    read = datetime.fromisoformat(iso(time_ns).replace("Z", "+00:00"))
    assert read.tzinfo is not None
    micros = (read - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert micros == time_ns // 1000


def test_two_runs_of_a_node_share_no_log_id() -> None:
    first, second = Identity("order", "order-1"), Identity("order", "order-1")
    assert {first.next_log_id() for _ in range(100)}.isdisjoint(second.next_log_id() for _ in range(100))
    assert first.renewed().node_id == "order-1"
