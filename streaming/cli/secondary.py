"""`vigil secondary`: what Kafka did not take, out of the files of `<secondary>` and into its topics."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

secondary_app = typer.Typer(help="Events that Kafka did not take: list the files, replay them.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(help="files of a <secondary>, or folders of such", show_default=False)]


@secondary_app.command("list")
def list_(
    files: Files,
    as_json: Annotated[bool, typer.Option("--json", help="each event as it is kept, one JSON object a line")] = False,
) -> None:
    """Show what the files hold: how many events of each topic and reason.

    Example: vigil secondary list .vigil/spool/undelivered
    """
    from streaming.accumulator.delivery import secondary
    from streaming.cli.terminal import printable, show

    if as_json:
        import msgspec

        for file in _files(files):
            for kept in secondary.read(file):
                print(msgspec.json.encode(kept).decode())
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("file", "topic", "reason", "events"):
        table.add_column(column, no_wrap=column == "file")
    for file in _files(files):
        for (topic, reason), events in Counter((k.topic, k.reason) for k in secondary.read(file)).items():
            table.add_row(printable(str(file)), printable(topic), printable(reason), str(events))
    show(table)


@secondary_app.command("replay")
def replay(
    files: Files,
    topic: Annotated[str, typer.Option(help="another topic than the one that each was meant for")] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="leave the files; else each is deleted when Kafka has it")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> None:
    """Produce the events of secondary files, each to the topic that it was meant for, under its first coordinates.

    What is replayed twice is one document. Stops at the first event that Kafka does not take.

    Example: vigil secondary replay .vigil/spool/undelivered
    """
    from streaming.accumulator.delivery.replaying import replay_file
    from streaming.settings import load_settings

    settings = load_settings()
    done = 0
    found = _files(files)
    for file in found:
        done += replay_file(settings, file, topic)
        if not keep:
            file.unlink()
    if as_json:
        print(json.dumps({"files": len(found), "events": done}))
    else:
        print(f"{done} events of {len(found)} files are in Kafka")


def _files(given: list[Path]) -> list[Path]:
    from streaming.accumulator.delivery.secondary import SUFFIX
    from streaming.errors import ConfigError

    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(path.glob(f"*{SUFFIX}"))
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError("no such file or folder", file=path)
    return found
