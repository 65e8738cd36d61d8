"""How a log document looks in a terminal: one line, coloured by level, nothing in it obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.text import Text

from streaming.cli.terminal import printable
from streaming.elastic.search import Hit
from streaming.events.model import Json

_STYLES = {
    "TRACE": "dim",
    "DEBUG": "dim",
    "INFO": "green",
    "WARN": "yellow",
    "ERROR": "bold red",
    "FATAL": "bold white on red",
}

MESSAGE_CHARACTERS = 2_000
"""A longer message is cut with a mark; `--json` has it whole."""


def line(document: dict[str, Json]) -> Text:
    """`2026-11-24 06:40:02.002  ERROR  payment/node2  message  [E42: connection refused]  trace=4bf9`; time in UTC."""
    level = _at(document, "log", "level")
    where = "/".join(filter(None, (_at(document, "service", "name"), _at(document, "service", "node", "name"))))
    shown = Text.assemble(
        (_time(_at(document, "@timestamp")), "dim"),
        "  ",
        printable(f"{level:<5}", _STYLES.get(level, "")),
        "  ",
        printable(where or _at(document, "host", "name") or "-", "cyan"),
        "  ",
        printable(_cut(_at(document, "message"))),
    )
    error = ": ".join(filter(None, (_at(document, "error", "code"), _at(document, "error", "message"))))
    if error:
        shown.append_text(Text("  [")).append_text(printable(_cut(error), "red")).append("]")
    if trace := _at(document, "trace", "id"):
        shown.append("  trace=", "dim").append_text(printable(trace, "dim"))
    return shown


def _at(document: dict[str, Json], *path: str) -> str:
    value: Json = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _time(text: str) -> str:
    """Milliseconds are enough for the eye."""
    date, _, clock = text.rstrip("Z").partition("T")
    return f"{date} {clock[:12]}"


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}… ({len(text)} characters)"


def show(hits: Iterable[Hit]) -> None:
    """Writes one line for each; to a pipe without colours."""
    console = Console(highlight=False, soft_wrap=True)
    for hit in hits:
        console.print(line(hit.document))


def write_json(hits: Iterable[Hit]) -> None:
    """Writes whole documents as JSON lines, `_index` and `_id` among their keys."""
    for hit in hits:
        document = {"_index": hit.index, "_id": hit.id, **hit.document}
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()
