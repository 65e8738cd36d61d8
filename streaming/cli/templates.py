"""`vigil templates`: what the logs say, how often, and what they never said before."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.templates.reading import Counts, Map, TemplateCount

NOT_IN_THE_MAP = "(other: shapes that are in no template, yet or for want of room)"


def templates(
    query: Annotated[
        list[str] | None, typer.Argument(help="only logs that match; as of search", show_default=False)
    ] = None,
    level: Annotated[str, typer.Option(help="only these levels, such as ERROR,FATAL")] = "",
    service: Annotated[str, typer.Option(help="only these services")] = "",
    node: Annotated[str, typer.Option(help="only these nodes")] = "",
    since: Annotated[str, typer.Option(help="from then on: 30s, 15m, 2h, 7d ago, or a date")] = "24h",
    until: Annotated[str, typer.Option(help="before then")] = "",
    new: Annotated[bool, typer.Option("--new", help="only what was never seen before that range")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="at most so many")] = 50,
    examples: Annotated[bool, typer.Option("--examples", help="a message under each template")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, for programs")] = False,
) -> None:
    """Count the logs of a time range by template: messages that differ in their values alone are one.

    Counts come from Elasticsearch, templates from Kafka; <*> stands for a value. The most frequent come first.

    Example: vigil templates --since 1h --level ERROR --new
    """
    from streaming.cli import log_query
    from streaming.elastic.connection import Connection
    from streaming.settings import load_settings
    from streaming.templates import reading

    settings = load_settings()
    now_ms = time.time_ns() // 1_000_000
    wanted = log_query.build(
        " ".join(query or []), now_ms, level=level, service=service, node=node, since=since, until=until
    )
    connection = Connection(settings.elastic)
    try:
        counts = reading.count_shapes(connection, settings.index_prefix, wanted)
    finally:
        connection.close()
    known = reading.read_map(settings)
    found = reading.join(counts.shapes, known)
    if new:
        found = [template for template in found if _is_new(template, wanted.since_ms or 0)]
    if as_json:
        for template in found[:limit]:
            print(json.dumps(_as_json(template), ensure_ascii=True))
    elif found:
        _print_table(found[:limit], now_ms, examples=examples)
    else:
        print(f"No templates in {log_query.described(wanted, settings.index_prefix)}", file=sys.stderr)
    _print_remarks(found, limit, counts, known)


def templates_worker() -> None:
    """Run the templates worker in the foreground until Ctrl-C: it merges shapes of messages into templates.

    Example: VIGIL_RETENTION_DAYS=90 vigil templates-worker
    """
    from streaming.templates.__main__ import start

    start()


def _is_new(template: TemplateCount, since_ms: int) -> bool:
    return template.known_since_ms is not None and template.known_since_ms >= since_ms


def _as_json(template: TemplateCount) -> dict[str, object]:
    return {
        "template": template.template or None,
        "text": template.text or None,
        "count": template.count,
        "levels": dict(template.levels.most_common()),
        "services": dict(template.services.most_common()),
        "first_ms": template.first_ms,
        "last_ms": template.last_ms,
        "known_since_ms": template.known_since_ms,
        "example": template.example or None,
        "fingerprints": template.fingerprints,
    }


def _print_table(found: list[TemplateCount], now_ms: int, *, examples: bool) -> None:
    from streaming.cli.terminal import ago, one_line, one_line_table, printable, show

    table = one_line_table("count", "level", "service", "first", "last", "template")
    for template in found:
        table.add_row(
            str(template.count),
            printable(_most(template.levels)),
            printable(_most(template.services)),
            f"{ago(now_ms - template.first_ms)} ago",
            f"{ago(now_ms - template.last_ms)} ago",
            one_line(template.text if template.template else NOT_IN_THE_MAP),
        )
        if examples and template.example:
            example = one_line(f"  e.g. {template.example}")
            example.stylize("dim")
            table.add_row("", "", "", "", "", example)
    show(table)


def _most(counts: dict[str, int]) -> str:
    """The most frequent, and how many others there are."""
    names = sorted(counts, key=lambda name: (-counts[name], name))
    others = f" +{len(names) - 1}" if len(names) > 1 else ""
    return f"{names[0]}{others}" if names else "-"


def _print_remarks(found: list[TemplateCount], limit: int, counts: Counts, known: Map) -> None:
    if len(found) > limit:
        print(f"{limit} of {len(found)} templates; -n shows more", file=sys.stderr)
    if counts.of_rarer_shapes:
        shapes = len(counts.shapes)
        print(f"not counted: {counts.of_rarer_shapes} logs beyond the {shapes} most frequent shapes", file=sys.stderr)
    if known.summary is not None and known.summary.refused:
        print(
            f"{known.summary.refused} times a shape found no room in the map of {known.summary.shapes}; "
            "a service whose messages are all different fills it",
            file=sys.stderr,
        )
