"""The trace a piece of work belongs to, carried in a context variable and in the W3C `traceparent` header.

Source: W3C Recommendation "Trace Context", level 1, section 3.2 (traceparent header).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from microservices.client.identity import Clock

HEADER = "traceparent"

# Any version but ff; later versions may add fields after the flags, version 00 may not.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True)
class Span:
    """One piece of work. Logs written within it carry its ids; `parent_span_id` is None where a trace begins."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int

    @property
    def traceparent(self) -> str:
        """The header for calls made within this work: this span becomes their parent."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_current: ContextVar[Span | None] = ContextVar("vigil_span", default=None)


def current() -> Span | None:
    """The span that this thread or task works in."""
    return _current.get()


def headers() -> dict[str, str]:
    """What to add to the headers of an outgoing call; empty outside of a span."""
    span = _current.get()
    return {HEADER: span.traceparent} if span else {}


@contextmanager
def span(traceparent: str | None = None, *, clock: Clock = time.time_ns) -> Iterator[Span]:
    """Works in a new span: child of the caller's `traceparent`, else of the current span, else of a new trace.

    A header that is not valid counts as none, as the recommendation asks.
    """
    here = _current.get()
    parent = parse(traceparent) or ((here.trace_id, here.span_id) if here else None)
    trace_id, parent_id = parent or (_random_id(16), None)
    token = _current.set(Span(trace_id, _random_id(8), parent_id, clock()))
    try:
        made = _current.get()
        assert made is not None
        yield made
    finally:
        _current.reset(token)


def parse(traceparent: str | None) -> tuple[str, str] | None:
    """Trace id and parent span id of a header, or None where it is missing or not valid."""
    found = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if not found:
        return None
    version, trace_id, span_id, _, rest = found.groups()
    if (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return trace_id, span_id


def _random_id(size: int) -> str:
    while not (made := secrets.token_hex(size)).strip("0"):
        pass  # all zeros means "none"
    return made
