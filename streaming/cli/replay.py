"""`vigil replay`: real log files through the pipeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.replay.sending import Address
    from streaming.settings import Settings


class JsonLines(StrEnum):
    """Whether lines of JSON are taken as such."""

    AUTO = "auto"
    NEVER = "never"


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(help="log files: plain, gzip or Zstandard; - reads standard input", show_default=False),
    ],
    rate: Annotated[float, typer.Option(min=0, help="lines per second; 0: as fast as acknowledged")] = 0.0,
    speed: Annotated[
        float, typer.Option(min=0, help="at the pace of the lines' own times: 1 as they came, 60 an hour in a minute")
    ] = 0.0,
    longest_pause: Annotated[
        float, typer.Option(min=0, help="with --speed: no pause is longer than so many seconds")
    ] = 5.0,
    accumulator: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT, or 1 to 3; may be repeated (default: all three in turn)")
    ] = None,
    service: Annotated[str | None, typer.Option(help="service of plain lines (default: from the file name)")] = None,
    node: Annotated[str | None, typer.Option(help="node of plain lines (default: replay-SERVICE)")] = None,
    json_lines: Annotated[JsonLines, typer.Option(help="auto: send a JSON object as it is; never: as text")] = (
        JsonLines.AUTO
    ),
    progress: Annotated[bool, typer.Option(help="show a progress bar on a terminal")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object, for programs")] = False,
) -> None:
    """Send log files through the accumulators; returns when every line is acknowledged.

    Plain lines or JSON lines, LF or CRLF. Files go to the accumulators in turn. Replaying a plain file twice gives
    its lines twice: they are new events.

    With --speed the lines keep their order; one without a time, or with an earlier one than the line before, goes with
    that line.

    \b
    Example: vigil replay /var/log/app/*.log --rate 500
             vigil replay incident.log.zst --speed 10
             journalctl -o cat | vigil replay - --service api
    """
    from streaming.replay.records import source_of
    from streaming.replay.sending import replay as send
    from streaming.settings import load_settings

    settings = load_settings()
    targets = addresses(accumulator or [], settings)
    sources = [
        source_of(path, service=service, node_id=node, json_lines=json_lines is JsonLines.AUTO) for path in files
    ]
    with _bar(files, shown=progress and not as_json and sys.stderr.isatty()) as advance:
        summary = send(
            sources,
            targets,
            rate=rate,
            speed=speed,
            longest_pause_s=longest_pause,
            access=settings.forward_access,
            progress=advance,
        )
    if as_json:
        print(json.dumps(asdict(summary) | {"seconds": round(summary.seconds, 3), "rate": round(summary.rate, 1)}))
        return
    blank = f", {summary.blank} blank ones left out" if summary.blank else ""
    print(
        f"{summary.acknowledged} of {summary.lines} lines of {summary.files} files acknowledged "
        f"in {summary.seconds:.1f} s ({summary.rate:.0f}/s){blank}"
    )
    if speed and summary.timed < summary.lines:
        print(f"{summary.lines - summary.timed} lines say no time and went with the line before them")


def addresses(given: list[str], settings: Settings) -> list[Address]:
    """The accumulators named on the command line: numbers or addresses; all three where none is named.

    Raises:
        ConfigError: neither a number from 1 to 3 nor HOST:PORT.
    """
    from streaming.errors import ConfigError
    from streaming.replay.sending import Address

    own = [settings.accumulator1_port, settings.accumulator2_port, settings.accumulator3_port]
    found = []
    for text in given or ["1", "2", "3"]:
        host, colon, port = text.rpartition(":")
        if not colon and text in {"1", "2", "3"}:
            found.append(Address(settings.bind_host, own[int(text) - 1]))
        elif host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536:
            found.append(Address(host.strip("[]"), int(port)))
        else:
            raise ConfigError(f"{text!r} is neither 1, 2, 3 nor HOST:PORT", field="--accumulator")
    return found


@contextmanager
def _bar(files: list[Path], *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    if not shown:
        yield lambda _lines, _file_bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.fields[lines]} lines"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        # Of a pipe nobody knows the end.
        total = sum(f.stat().st_size for f in files) if all(f.is_file() for f in files) else None
        task = bar.add_task("", total=total, lines=0)
        sent = 0

        def advance(lines: int, file_bytes: int) -> None:
            nonlocal sent
            sent += lines
            bar.update(task, advance=file_bytes, lines=sent)

        yield advance
