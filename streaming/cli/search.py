"""`vigil search`: find logs."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer


class Order(StrEnum):
    """Which logs to take when more match than the limit."""

    NEWEST = "newest"
    OLDEST = "oldest"


class Clock(StrEnum):
    """Which time a search goes by."""

    EVENT = "event"
    RECEIVED = "received"


def search(
    query: Annotated[list[str] | None, typer.Argument(help="what to find; see below", show_default=False)] = None,
    level: Annotated[str, typer.Option(help="only these levels, such as ERROR,FATAL")] = "",
    service: Annotated[str, typer.Option(help="only these services")] = "",
    node: Annotated[str, typer.Option(help="only these nodes")] = "",
    trace: Annotated[str, typer.Option(help="only this trace, across all services")] = "",
    since: Annotated[str, typer.Option(help="from then on: 30s, 15m, 2h, 7d ago, or a date")] = "",
    until: Annotated[str, typer.Option(help="before then")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="at most so many")] = 50,
    sort: Annotated[Order, typer.Option(help="which to take if more match")] = Order.NEWEST,
    by: Annotated[Clock, typer.Option(help="time of the event itself, or when it was received")] = Clock.EVENT,
    as_json: Annotated[bool, typer.Option("--json", help="whole documents, one JSON object a line")] = False,
) -> None:
    """Find logs in Elasticsearch; shown in order of time, the newest last.

    Example: vigil search level:ERROR service:payment '"connection refused"' --since 1h

    \b
    Terms stand side by side and all must hold.
      refused "timed out"      these words, this phrase, in message, error message or stack trace
      pay*                     words that begin so
      service:payment          this field has this value; service:a,b one of these; service:pay* begins so
      trace:*                  has this field; -trace:* has it not
      level:ERROR level>=WARN  this level; this or a worse one
      status>=500 duration>2s  numbers and durations compare by > >= < <=
      -word -field:value       not so (after "--", or the shell's dash is taken for an option)
      since:1h                 as --since
    Fields: level service node host trace span log_id logger error code status method path duration pid thread
    accumulator source dialect received fingerprint labels.NAME, and every ECS name of a log document.
    Quotes take colons and spaces literally.
    """
    from streaming.cli import log_lines, log_query
    from streaming.elastic.connection import Connection
    from streaming.elastic.search import LogSearch
    from streaming.settings import load_settings

    settings = load_settings()
    now_ms = time.time_ns() // 1_000_000
    wanted = log_query.build(
        " ".join(query or []), now_ms, level=level, service=service, node=node, trace=trace, since=since, until=until
    )
    connection = Connection(settings.elastic)
    try:
        found = LogSearch(connection, settings.index_prefix).find(
            wanted,
            limit=limit,
            order="desc" if sort is Order.NEWEST else "asc",
            time_field="@timestamp" if by is Clock.EVENT else "event.created",
        )
    finally:
        connection.close()
    hits = found.hits[::-1] if sort is Order.NEWEST else found.hits
    if as_json:
        log_lines.write_json(hits)
        return
    if not hits:
        print(f"Nothing found in {log_query.described(wanted, settings.index_prefix)}", file=sys.stderr)
        return
    log_lines.show(hits)
    more = "more than " if found.at_least else ""
    if found.total > len(hits):
        print(f"{len(hits)} of {more}{found.total} matching logs, the {sort.value}; -n shows more", file=sys.stderr)
