"""Retry-After: seconds, dates, and whatever else a receiver may write into it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.receivers.waits import LONGEST_WAIT_S, SHORTEST_WAIT_S, retry_after_s

NOW_S = 1445412480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (None, SHORTEST_WAIT_S),
        ("", SHORTEST_WAIT_S),
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("0", SHORTEST_WAIT_S),
        ("-5", SHORTEST_WAIT_S),
        ("nan", SHORTEST_WAIT_S),
        ("1e999", LONGEST_WAIT_S),
        ("soon", SHORTEST_WAIT_S),
        ("Wed, 21 Oct 2015 07:29:30 GMT", 90.0),
        ("Wednesday, 21-Oct-15 07:29:30 GMT", 90.0),
        ("Wed Oct 21 07:29:30 2015", 90.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", SHORTEST_WAIT_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT_S),
        ("Fri, 31 Dec 99999 23:59:59 GMT", SHORTEST_WAIT_S),
    ],
)
def test_what_is_asked_is_kept_within_reason(asked: str | None, waited: float) -> None:
    assert retry_after_s(asked, NOW_S) == waited


@settings(max_examples=50)
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:+]{1,12} ?[A-Z+0-9-]*"))
def test_any_header_ends_in_a_wait_within_bounds(text: str) -> None:
    assert SHORTEST_WAIT_S <= retry_after_s(text, NOW_S) <= LONGEST_WAIT_S
