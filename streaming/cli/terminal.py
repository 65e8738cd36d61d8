"""Showing text that others wrote: log lines are hostile input to a terminal."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 250
"""Columns where the output is no terminal: a table in a file or a pipe is not cut at 80."""


def one_line_table(*columns: str) -> Table:
    """A table of one line a row: all columns whole but the last, whose cells (`one_line`) are cut with an ellipsis."""
    table = Table(box=None, pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1])
    return table


def one_line(text: str) -> Text:
    """`printable` for the last column of `one_line_table`."""
    # Said of the cell, not of the column: rich takes width only from columns that may wrap.
    cell = printable(text)
    cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell


def show(table: Table) -> None:
    """Prints a table to standard output."""
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def printable(text: str, style: str = "") -> Text:
    """The text with every control and direction character shown as an escape, and no markup read in it."""
    return Text("".join(map(_shown, text)), style=style)


def _shown(character: str) -> str:
    # Cc: control (escape sequences), Cf: format (bidirectional overrides), Cs: lone surrogates.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def ago(milliseconds: float) -> str:
    """A duration as a person says it: `4.2 s`, `3 min`, `2 h`, `5 d`."""
    seconds = milliseconds / 1000
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.1f} {unit}" if unit == "s" else f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


@contextmanager
def progress_line(*, shown: bool, say: Callable[[str, int, int], str]) -> Iterator[Callable[[str, int, int], None]]:
    """One line on standard error: how far long work is (`say`: what, done, of how many). None if not `shown`."""
    if not shown:
        yield lambda _what, _done, _of: None
        return
    with Console(stderr=True).status("") as line:
        yield lambda what, done, of: line.update(say(what, done, of))
