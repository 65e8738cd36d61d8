"""Brings secrets to machines, and restarts what reads them: one service on one machine after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from infra.machines.administration import AUTHORITY_FILE, Wanted, affected
from infra.machines.contents import Deployed, certificates_of, contents
from infra.machines.elastic.rights import CLIENTS
from infra.machines.kafka.rights import USERS
from infra.machines.packaged import packaged
from infra.machines.placement import Instance
from infra.machines.programs import Software
from infra.machines.rotation.health import await_all_copies, await_working
from infra.machines.rotation.subjects import SLACK_TOKENS
from infra.machines.target import Machines
from infra.machines.units import credential_file
from infra.service_manager import RunState
from streaming.settings import Settings

Report = Callable[[str], None]

FROM_SETTINGS = frozenset(credential_file("notifier", token) for token in SLACK_TOKENS)
"""Secrets that are not the store's: delivered only when they are asked for, since who renews a certificate need not
have the settings of who deployed."""


def tokens(settings: Settings) -> list[str]:
    """Names of those of Slack's tokens that the settings have."""
    return [token for token in SLACK_TOKENS if getattr(settings, token).get_secret_value()]


def deliver(machines: Machines, report: Report, *, settings_too: bool = False) -> None:
    """Gives each machine the secrets and the authorities that it is to have, and nothing else. What reads what has
    changed waits for its restart from then on (`Machines.pending`).

    Raises:
        Unavailable: a machine cannot be reached, or refuses.
        ConfigError: the deployment's secrets cannot be read.
    """
    for name in machines.inventory.machines:
        wanted = secrets_of(machines, name, settings_too=settings_too)
        changed = machines.administration.compare(name, wanted).changed
        if changed:
            readers = affected(changed, machines.manager.instances(name))
            machines.pending.add(name, (one.service for one in readers))
            machines.administration.configure(name, wanted)
        report(f"{name}: {len(changed)} secrets delivered" if changed else f"{name} has its secrets already")


def secrets_of(machines: Machines, machine: str, *, settings_too: bool) -> Wanted:
    """The part of a machine's contents that a rotation changes."""
    store, software = machines.store, machines.software
    certificates = {
        file: store.kept_certificate(file) or store.certificate(file, name, reached_by)
        for file, (name, reached_by) in certificates_of(machines.inventory, software).items()
    }
    deployed = Deployed(
        machines.settings,
        software,
        store.cluster_id,
        store.authority.read_text(encoding="ascii"),
        {},
        {},
        store.passwords(list(USERS)),
        certificates,
        receivers=machines.receiver_secrets(take=False),
        packaged=packaged(store.elastic, tuple(CLIENTS)) if software is Software.PACKAGES else None,
    )
    whole = contents(machines.inventory, machine, deployed)
    return Wanted(
        {name: text for name, text in whole.files.items() if name == AUTHORITY_FILE or name.startswith("tls/")},
        {name: value for name, value in whole.secrets.items() if settings_too or name not in FROM_SETTINGS},
        {},
        partial=True,
    )


def restart_waiting(machines: Machines, report: Report, *, cut_off: bool = False) -> tuple[Instance, ...]:
    """Restarts what waits for it, in start order, each healthy before the next, and returns what was restarted. What
    was stopped stays so; what has failed is started.

    Args:
        machines: of the deployment.
        report: is told of each restart.
        cut_off: Kafka does not work until all of its nodes are restarted: they are, without a gate in between.

    Raises:
        Unavailable: a service is not healthy in its time. It and those after it still wait: running this again goes on.
    """
    restarted = []
    for instance in list(_waiting(machines)):
        began = time.monotonic()
        gated = not (cut_off and instance.service == "kafka")
        state = machines.manager.status(str(instance)).state
        if state is not RunState.STOPPED:
            if instance.service == "kafka" and gated:
                await_all_copies(machines)
            machines.manager.restart(str(instance))
            if gated:
                await_working(machines, instance)
                report(f"{instance} is restarted, and healthy again after {time.monotonic() - began:.1f} s")
            else:
                report(f"{instance} is restarted")
            restarted.append(instance)
        machines.pending.done(instance.machine, instance.service)
    return tuple(restarted)


def _waiting(machines: Machines) -> Iterator[Instance]:
    pending = {name: machines.pending.of(name) for name in machines.inventory.machines}
    here = {one for name in machines.inventory.machines for one in machines.manager.instances(name)}
    for instance in machines.inventory.placement:
        if instance in here and instance.service in pending[instance.machine]:
            yield instance
