from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservices.client import tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_call_becomes_a_child_of_its_caller() -> None:
    with tracing.span(f"00-{TRACE}-{SPAN}-01", clock=lambda: 42) as span:
        assert (span.trace_id, span.parent_span_id, span.start_ns) == (TRACE, SPAN, 42)
        assert span.span_id != SPAN
        assert tracing.headers() == {"traceparent": f"00-{TRACE}-{span.span_id}-01"}
    assert tracing.current() is None
    assert tracing.headers() == {}


def test_a_span_within_a_span_is_its_child() -> None:
    with tracing.span() as outer, tracing.span() as inner:
        assert outer.parent_span_id is None
        assert (inner.trace_id, inner.parent_span_id) == (outer.trace_id, outer.span_id)


def test_threads_do_not_share_a_span() -> None:
    seen: list[object] = []
    with tracing.span():
        thread = threading.Thread(target=lambda: seen.append(tracing.current()))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_a_header_that_is_not_valid_begins_a_new_trace(header: str | None) -> None:
    assert tracing.parse(header) is None
    with tracing.span(header) as span:
        assert span.parent_span_id is None


def test_a_later_version_may_say_more() -> None:
    assert tracing.parse(f"cc-{TRACE}-{SPAN}-01-more") == (TRACE, SPAN)


@given(st.text())
def test_no_header_raises(header: str) -> None:
    assert tracing.parse(header) is None


def test_what_goes_out_comes_in() -> None:
    with tracing.span() as span:
        assert tracing.parse(span.traceparent) == (span.trace_id, span.span_id)
