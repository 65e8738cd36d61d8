"""`vigil config`: every setting, its value here, and where the value comes from."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from streaming.settings import Settings


_PASSWORD = re.compile(r"//[^/@\s]*@")
"""User and password in an address."""


class Row(NamedTuple):
    """One setting. A secret's value is never shown."""

    variable: str
    value: str
    source: str
    meaning: str


def config(as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False) -> None:
    """List every setting: its variable, its value, where that comes from, and what it means.

    A setting comes from the environment, else from `vigil.toml` (or the file that VIGIL_CONFIG names; there the
    name is without VIGIL_ and in lower case), else from its default.

    Example: VIGIL_KAFKA_PORT=19092 vigil config
    """
    from streaming.settings import load_settings

    rows = _rows(load_settings())
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        style = "" if row.source == "default" else "bold"
        console.print(f"{row.variable}={row.value}", style=style, markup=False, end="")
        console.print(f"  ({row.source}) {row.meaning}", style="dim", markup=False)


def _rows(settings: Settings) -> list[Row]:
    from pydantic import SecretStr

    from streaming.settings import config_file

    rows = []
    for name, field in type(settings).model_fields.items():
        variable = settings.variable(name)
        value = getattr(settings, name)
        is_secret = isinstance(value, SecretStr)
        shown = ("set" if value else "not set") if is_secret else _PASSWORD.sub("//***@", str(value))
        source = "environment" if variable in os.environ else "default"
        if source == "default" and name in settings.model_fields_set:
            source = config_file().name
        rows.append(Row(variable, shown, source, field.description or ""))
    return rows
