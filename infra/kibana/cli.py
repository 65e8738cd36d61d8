"""`vigil kibana`: make, check and import the objects of Kibana."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.kibana.asking import Answered
    from infra.kibana.stored.objects import SavedObject

# Heavy imports are inside the functions: `vigil --help` and shell completion must answer at once.

kibana_app = typer.Typer(
    help="Data views, searches, charts and dashboards of Kibana: make, check, import.", no_args_is_help=True
)


@kibana_app.command("export")
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="file to write; without it, standard output")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="list type, id and title of each, and write no file")] = False,
) -> None:
    """Write all objects as a file that Kibana imports (NDJSON); the same bytes each time.

    By hand: Stack Management, Saved Objects, Import.

    Example: vigil kibana export --output vigil.ndjson
    """
    import sys

    from infra.kibana.checks import checked
    from infra.kibana.checks import export as made
    from streaming.settings import load_settings

    prefix = load_settings().index_prefix
    if as_json:
        _print_json([{"type": one.type, "id": one.id, "title": one.title} for one in checked(prefix)[0]])
        return
    raw = made(prefix)
    if output is None:
        sys.stdout.buffer.write(raw)
        return
    from streaming.files import write_whole

    write_whole(output, raw)
    typer.echo(f"{output}: {len(raw.splitlines()) - 1} objects")


@kibana_app.command("import")
def import_command(
    url: Annotated[str, typer.Option(help="address of Kibana; without it, VIGIL_KIBANA_URL")] = "",
    space: Annotated[str, typer.Option(help="id of the space; without it, the default one")] = "",
    api_key_file: Annotated[
        Path | None, typer.Option("--api-key-file", help="file (mode 0600) of an API key, encoded")
    ] = None,
    wait: Annotated[float, typer.Option(help="seconds for which a Kibana that starts is waited for", min=0)] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="the result as one JSON object")] = False,
) -> None:
    """Make all objects, check them, and write them into Kibana over those of the same ids.

    Credentials: VIGIL_KIBANA_API_KEY, or VIGIL_KIBANA_USERNAME and VIGIL_KIBANA_PASSWORD, or --api-key-file. The
    authority of Kibana's certificate: VIGIL_KIBANA_CA_PATH. Ends with 1 where an object was not taken, and names it.

    Example: vigil kibana import --url https://127.0.0.1:19612 --api-key-file kibana.key
    """
    from infra.kibana.access import access_of
    from infra.kibana.checks import export as made
    from infra.kibana.client import import_objects
    from streaming.settings import load_settings

    settings = load_settings()
    access = access_of(settings, url=url, space=space, api_key_file=api_key_file)
    raw = made(settings.index_prefix)
    done = import_objects(access, raw, wait_s=wait, told=lambda line: typer.echo(line, err=True))
    if as_json:
        _print_json({"imported": done.count, "overwritten": done.overwritten, "moved": done.moved, "url": access.base})
        return
    typer.echo(f"{access.base}: {done.count} objects imported, {done.overwritten} of them were there before")
    if done.moved:
        typer.echo(
            f"Another space has the ids of {len(done.moved)} of them; they got new ones here. "
            "Links in Vigil's messages lead to the data view of the other space"
        )


@kibana_app.command("check")
def check(
    live: Annotated[
        bool, typer.Option("--live", help="ask Elasticsearch too, all that Kibana will ask it for them")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Hold all objects against Kibana 9's format and against the mapping of the indices. Ends with 1 where one does not
    fit.

    Example: vigil kibana check --live
    """
    from infra.kibana.checks import asked, checked
    from streaming.settings import load_settings

    settings = load_settings()
    objects, problems = checked(settings.index_prefix)
    answered = asked(settings, objects) if live and not problems else []
    problems += [one.problem for one in answered if one.problem is not None]
    if as_json:
        said = [{"object": p.object, "title": p.title, "reason": p.reason} for p in problems]
        _print_json({"objects": len(objects), "asked": len(answered), "problems": said})
    else:
        for found in problems:
            typer.echo(str(found))
        typer.echo(_summary(objects, answered, len(problems)))
    if problems:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Adds these commands to the `vigil` command."""
    app.add_typer(kibana_app, name="kibana")


def _summary(objects: list[SavedObject], answered: list[Answered], problems: int) -> str:
    asked = f", {len(answered)} searches asked of Elasticsearch" if answered else ""
    empty = sum(one.documents == 0 for one in answered)
    without = f" ({empty} found no document)" if empty else ""
    return f"{len(objects)} objects{asked}{without}: {'no problem' if not problems else f'{problems} problems'}"


def _print_json(value: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
