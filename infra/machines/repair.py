"""What was made anew of a deployment's servers, and what follows from it. Pure.

A machine that was deleted and made again looks like one that was never there. What it held is told from what others
still know: the disks of the other brokers, and what this host remembers of the servers that it brought up (`Standing`).
So a repair that was cut off half-way is found due again, and one that is done is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from infra.backups import Backup
from infra.machines.inventory import Inventory
from infra.machines.placement import Role
from infra.machines.standing import Standing


def is_cluster_lost(inventory: Inventory, cluster: str, standing: Standing, disks: Mapping[str, str | None]) -> bool:
    """Whether Kafka's cluster has to be made anew, because most of its controllers have lost their disks.

    A broker that lost its disk is no reason: it is formatted for the same cluster, and gets its copies from the others.
    A controller that lost it knows nothing of any topic, while brokers know more than it does, and end.

    Args:
        cluster: the id that the deployment's nodes are to have.
        standing: what this host remembers.
        disks: by machine with Kafka the cluster that its disk is of; None where it has none.
    """
    known = standing.kafka == cluster or cluster in disks.values()
    controllers = inventory.having(Role.CONTROLLER)
    left = sum(disks.get(name) == cluster for name in controllers)
    return known and left <= len(controllers) // 2


def must_restore(cluster: str, standing: Standing) -> bool:
    """Whether a backup is to be put into this cluster: there was another one before it."""
    return standing.kafka not in ("", cluster)


def must_index_again(found: str, standing: Standing) -> bool:
    """Whether an Elasticsearch lacks documents that another one had before it."""
    return standing.elasticsearch not in ("", found)


def losses(inventory: Inventory, gone: Collection[str], backup: Backup | None, now: datetime) -> tuple[str, ...]:
    """What nobody has any more when the disks of these machines are gone, a line for each; for whoever is asked whether
    they may be made anew, and for the log of the repair.

    Args:
        gone: names of machines.
        backup: the newest backup of Kafka.
        now: with a time zone.
    """
    lost: list[str] = []
    controllers, brokers = inventory.having(Role.CONTROLLER), inventory.having(Role.BROKER)
    if 2 * sum(name not in gone for name in controllers) <= len(controllers):
        lost += _cluster_losses(backup, now)
    elif all(name in gone for name in brokers):
        lost.append("all of Kafka's topics")
    elif any(name in gone for name in brokers):
        lost.append("records that only the lost broker had: what it took alone, while the others were away or behind")
    if any(name in gone for name in inventory.having(Role.COLLECTING)):
        lost.append("logs that accumulators had acknowledged and not yet given to Kafka (their spools)")
    elastic = inventory.having(Role.ELASTICSEARCH)
    if elastic and all(name in gone for name in elastic):
        lost.append(
            "documents of logs that Kafka does not keep any more (3 days, 2 GiB a partition), and the numbers of past "
            "reports; all others are indexed again"
        )
    elif any(name in gone for name in elastic):
        lost.append("documents whose only copy was there")
    return tuple(lost)


def _cluster_losses(backup: Backup | None, now: datetime) -> list[str]:
    if backup is None:
        return [
            "Kafka's cluster with all its topics: incidents, silences, nodes and their history. There is no backup to "
            "put back",
            "logs that were not indexed yet",
        ]
    return [
        f"what Kafka's topics were given since the backup {backup.name}, which is {_age(now, backup)} old and is put "
        "back: incidents, silences, acknowledgements and nodes since then",
        "logs that were not indexed yet and came after that backup; documents stay as they are",
    ]


def _age(now: datetime, backup: Backup) -> str:
    minutes = max(0, int((now - backup.made).total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // 1440} days"
