"""What of a running deployment cannot become another by a changed inventory, and is refused before it does harm.

Everything else may: machines and brokers, workers and nodes of a packaged Elasticsearch come and go by the inventory.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from infra.machines.inventory import Inventory
from infra.machines.kafka.configuration import node_id
from infra.machines.placement import Role
from infra.machines.programs import Software
from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole


class Quorum(msgspec.Struct, frozen=True):
    """The controllers with which a cluster of Kafka was made, by their node ids."""

    cluster: str
    controllers: tuple[int, ...]


def quorum_of(inventory: Inventory, cluster: str) -> Quorum:
    """As the inventory has it."""
    return Quorum(cluster, tuple(sorted(node_id(inventory, name) for name in inventory.having(Role.CONTROLLER))))


def remember(folder: Path, quorum: Quorum) -> None:
    """Once Kafka answers: from then on its controllers stay."""
    if _remembered(folder) != quorum:
        write_whole(_file(folder), msgspec.json.encode(quorum) + b"\n")


def check(inventory: Inventory, software: Software, folder: Path, cluster: str) -> None:
    """Whether this inventory can be deployed where this folder's deployment is.

    Raises:
        ConfigError: it cannot; the text says what to do instead.
    """
    for reason, remedy in _problems(inventory, software, _remembered(folder), quorum_of(inventory, cluster)):
        raise ConfigError(reason, file=inventory.deployment, field="machines", remedy=remedy)


def _problems(
    inventory: Inventory, software: Software, before: Quorum | None, now: Quorum
) -> Collection[tuple[str, str]]:
    found = []
    nodes = inventory.having(Role.ELASTICSEARCH)
    if software is Software.UPLOAD and len(nodes) > 1:
        found.append(
            (
                f"the embedded Elasticsearch is one node, and {', '.join(nodes)} have its role",
                "Give the role elasticsearch to one machine, or let software come from packages",
            )
        )
    if before is not None and before.cluster == now.cluster and before.controllers != now.controllers:
        # New ones have an empty log: two of three could agree that the cluster holds nothing.
        found.append(
            (
                f"this cluster of Kafka was made with the controllers {_ids(before)}, and now it has {_ids(now)}",
                "Keep them; docs/growth.md says how a deployment comes to three controllers",
            )
        )
    return found


def _ids(quorum: Quorum) -> str:
    return ", ".join(map(str, quorum.controllers))


def _file(folder: Path) -> Path:
    return folder / "quorum.json"


def _remembered(folder: Path) -> Quorum | None:
    try:
        return decoding.decode(_file(folder).read_bytes(), Quorum)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(str(error), file=_file(folder), remedy="Restore it from a backup") from error
