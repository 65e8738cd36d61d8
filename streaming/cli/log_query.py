"""What `vigil search` and `vigil tail` share: their options as one query."""

from __future__ import annotations

from dataclasses import replace

from streaming.elastic.query import Query, one_of, parse_query, parse_time


def build(
    text: str,
    now_ms: int,
    *,
    level: str = "",
    service: str = "",
    node: str = "",
    trace: str = "",
    since: str = "",
    until: str = "",
) -> Query:
    """The query text and the options, all of which must hold; options win over `since:` and `until:` in the text.

    Raises:
        QueryError: one of them cannot be read.
    """
    query = parse_query(text, now_ms)
    options = {"level": level, "service": service, "node": node, "trace": trace}
    extra = tuple(one_of(name, value.split(",")) for name, value in options.items() if value)
    return replace(
        query,
        terms=query.terms + extra,
        since_ms=parse_time(since, now_ms) if since else query.since_ms,
        until_ms=parse_time(until, now_ms) if until else query.until_ms,
    )


def described(query: Query, index_prefix: str) -> str:
    """What was searched, for the one who found nothing."""
    from datetime import UTC, datetime

    def when(ms: int) -> str:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

    conditions = [
        ("not " if term.negated else "")
        + (f"{term.field} " if term.field else "text ")
        + term.op.value
        + (" " + ", ".join(repr(value) for value in term.values) if term.values else "")
        for term in query.terms
    ]
    if query.since_ms is not None:
        conditions.append(f"from {when(query.since_ms)}")
    if query.until_ms is not None:
        conditions.append(f"before {when(query.until_ms)}")
    return f"{index_prefix}-logs-*: " + ("; ".join(conditions) or "every log")
