"""The deployments to machines that this host knows: kept in `<VIGIL_HOME>/machines/<name>`, one folder each.

`inventory.json` there is an inventory file like any other, `deployed.json` says how its machines came to be.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from infra.machines import inventory as inventories
from infra.machines import standing
from infra.machines.inventory import Inventory
from infra.machines.programs import Software
from infra.machines.target import Machines
from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole
from streaming.settings import Settings


class Origin(StrEnum):
    """Where the machines of a deployment come from; also the names of the targets."""

    VIRTUALBOX = "virtualbox"
    """Terraform makes them in VirtualBox."""
    INVENTORY = "inventory"
    """They were there before; a file names them."""


class Deployed(msgspec.Struct, frozen=True):
    """How a deployment was made: `origin` of its machines, and the way of their `software`."""

    origin: Origin
    software: Software


def folder_of(settings: Settings, name: str) -> Path:
    """Where all that this host keeps of a deployment is."""
    return settings.home.resolve() / "machines" / name


def remember(settings: Settings, inventory: Inventory, deployed: Deployed) -> Path:
    """Writes down what is being deployed; returns the inventory's file.

    Raises:
        ConfigError: it cannot be written.
    """
    folder = folder_of(settings, inventory.deployment)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(folder / "deployed.json", msgspec.json.encode(deployed) + b"\n")
    file = folder / "inventory.json"
    shown = inventory.model_dump_json(indent=1, exclude_defaults=True)
    write_whole(file, shown.encode() + b"\n")
    return file


def forget(settings: Settings, name: str) -> None:
    """After a teardown: its machines are not known any more. Its secrets and its backups are left."""
    folder = folder_of(settings, name)
    for file in ("deployed.json", "inventory.json"):
        (folder / file).unlink(missing_ok=True)
    standing.forget(folder)


def names(settings: Settings) -> tuple[str, ...]:
    """Every known deployment, in order of the alphabet."""
    return tuple(sorted(file.parent.name for file in folder_of(settings, "").glob("*/deployed.json")))


def deployed(settings: Settings, name: str) -> Deployed:
    """How a deployment was made.

    Raises:
        ConfigError: none of that name is known; the text names those that are.
    """
    file = folder_of(settings, name) / "deployed.json"
    try:
        return decoding.decode(file.read_bytes(), Deployed)
    except FileNotFoundError:
        known = ", ".join(names(settings))
        raise ConfigError(
            f"no deployment {name!r} is known to this host",
            field="deployment",
            remedy=f"There is: {known}" if known else "`vigil machines deploy` or the DAG deploy_platform makes one",
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigError(str(error), file=file, remedy="Deploy again") from error


def taken(settings: Settings, name: str, file: Path | None) -> Inventory:
    """The inventory of a deployment: that of a file, else the one that was taken over the last time.

    Raises:
        ConfigError: it cannot be read or used, is of another deployment, or there is none.
    """
    if file is None and name not in names(settings):
        raise ConfigError("no inventory is named", field="inventory", remedy="Give the path of an inventory file")
    found = inventories.load(file or folder_of(settings, name) / "inventory.json")
    if found.deployment != name:
        raise ConfigError(
            f"is of deployment {found.deployment!r}, and not of {name!r}",
            file=file,
            field="deployment",
            remedy="Ask for the deployment by that name",
        )
    return found


def machines(settings: Settings, name: str) -> Machines:
    """The machines of a known deployment; nothing is connected yet.

    Raises:
        ConfigError: none of that name is known, or its inventory cannot be read.
    """
    how = deployed(settings, name)
    folder = folder_of(settings, name)
    return Machines(settings, inventories.load(folder / "inventory.json"), folder, how.software)
