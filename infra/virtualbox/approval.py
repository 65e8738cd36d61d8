"""What a person reads who is asked whether a plan may be applied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from infra import backups
from infra.machines.repair import losses
from infra.machines.target import Machines
from infra.virtualbox.changes import Action, table
from infra.virtualbox.deployment import Proposal


def lost_with(proposal: Proposal, machines: Machines) -> tuple[str, ...]:
    """What nobody has any more after a plan, beyond the disks themselves: of a deployment that is known already."""
    emptied = {
        change.what.removeprefix("machine ")
        for change in proposal.changes
        if change.what.startswith("machine ") and change.action is not Action.CHANGE
    }
    gone = emptied.intersection(machines.inventory.machines)
    return losses(machines.inventory, gone, backups.newest(machines.folder), datetime.now(UTC))


def lost_at_end(machines: Machines) -> tuple[str, ...]:
    """What nobody has any more after a deployment was destroyed."""
    backup = backups.newest(machines.folder)
    kept = f"the backup {backup.name} is kept here" if backup else "there is no backup of them"
    return (
        "all documents of Elasticsearch, unless they are exported before",
        f"all of Kafka's topics: incidents, silences, nodes and their history; {kept}",
        "the keys, certificates and passwords of the deployment",
    )


def body(proposal: Proposal, lost: Sequence[str]) -> str:
    """As Markdown, for Airflow's required actions."""
    parts = [table(proposal.changes)]
    if proposal.drift:
        parts.append("Found:\n\n" + "".join(f"* {line}\n" for line in proposal.drift))
    if proposal.start:
        parts.append("Switched on: " + ", ".join(proposal.start) + ".\n")
    if lost:
        parts.append("**Lost for good**, beyond the disks:\n\n" + "".join(f"* {line}\n" for line in lost))
    return "\n".join(parts)
