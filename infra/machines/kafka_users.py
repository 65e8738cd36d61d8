"""Kafka's users of a deployment, made from here by way of a broker."""

from __future__ import annotations

import time
from collections.abc import Callable

from infra.machines import growth
from infra.machines.kafka.rights import USERS
from infra.machines.placement import Role
from infra.machines.rotation.alone import alone
from infra.machines.target import Machines
from infra.machines.unreachable import CommandFailed
from streaming.errors import Unavailable

USERS_WITHIN_S = 120.0
"""A broker's first start, on a machine that has just booted."""

Report = Callable[[str], None]


def ensure_users(machines: Machines, report: Report) -> None:
    """Makes Kafka's users and rights what they should be, by way of its first broker, once that answers.

    Raises:
        Unavailable, CommandFailed: not within `USERS_WITHIN_S`; or all that time secrets were rotated.
    """
    broker = next(iter(machines.inventory.having(Role.BROKER)))
    deadline = time.monotonic() + USERS_WITHIN_S
    while True:
        try:
            # A rotation may have told Kafka a password that is not in the store yet.
            with alone(machines.folder):
                changes = machines.administration.kafka_users(broker, machines.store.passwords(list(USERS)))
        except (Unavailable, CommandFailed):  # the broker listens before it has found its controller
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
            continue
        growth.remember(machines.folder, growth.quorum_of(machines.inventory, machines.store.cluster_id))
        told = ", ".join(f"{len(found)} {what}" for what, found in changes.items() if isinstance(found, list) and found)
        report(f"users of Kafka: {told or 'as they should be'}")
        return
