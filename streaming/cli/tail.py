"""`vigil tail`: follow logs as they arrive."""

from __future__ import annotations

import time
from typing import Annotated

import typer


def tail(
    query: Annotated[list[str] | None, typer.Argument(help="as for `vigil search`", show_default=False)] = None,
    level: Annotated[str, typer.Option(help="only these levels, such as ERROR,FATAL")] = "",
    service: Annotated[str, typer.Option(help="only these services")] = "",
    node: Annotated[str, typer.Option(help="only these nodes")] = "",
    trace: Annotated[str, typer.Option(help="only this trace")] = "",
    since: Annotated[str, typer.Option(help="begin with what arrived since then, such as 5m")] = "10s",
    as_json: Annotated[bool, typer.Option("--json", help="whole documents, one JSON object a line")] = False,
) -> None:
    """Follow logs as they become searchable (1 to 2 s after they were written), until Ctrl-C.

    Example: vigil tail level:ERROR,FATAL --service payment
    """
    from streaming.cli import log_lines, log_query
    from streaming.elastic.connection import Connection
    from streaming.elastic.query import parse_time
    from streaming.elastic.search import Follower, LogSearch
    from streaming.settings import load_settings

    settings = load_settings()
    now_ms = time.time_ns() // 1_000_000
    wanted = log_query.build(" ".join(query or []), now_ms, level=level, service=service, node=node, trace=trace)
    connection = Connection(settings.elastic)
    follower = Follower(LogSearch(connection, settings.index_prefix), wanted, parse_time(since, now_ms))
    write = log_lines.write_json if as_json else log_lines.show
    try:
        while True:
            write(follower.look(time.time_ns() // 1_000_000))
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        return
    finally:
        connection.close()


POLL_S = 0.5
"""The index refreshes once a second; looking more often shows nothing more."""
