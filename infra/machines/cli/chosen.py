"""Which deployment a command is about: the one that is named, or the only one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.settings import Settings

Deployment = Annotated[str | None, typer.Option("--deployment", "-d", help="Its name; not needed where there is one.")]


def chosen(settings: Settings, name: str | None) -> str:
    """Its name.

    Raises:
        ConfigError: none is named, and there is none or more than one; or there is none of that name.
    """
    from infra.machines import known
    from streaming.errors import ConfigError

    if name is not None:
        known.deployed(settings, name)  # says what there is
        return name
    names = known.names(settings)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(
            "this host knows no deployment to machines",
            remedy="`vigil machines deploy` or the DAG deploy_platform makes one",
        )
    raise ConfigError("which deployment?", field="--deployment", remedy=f"There are: {', '.join(names)}")
