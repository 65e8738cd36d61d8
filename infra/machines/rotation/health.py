"""The gate behind each restart of a rotation."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from infra.bringing_up import await_healthy
from infra.machines.gates import probe
from infra.machines.placement import Instance, Role
from infra.machines.rotation.copies import behind
from infra.machines.services import services_of
from infra.machines.target import Machines
from infra.service_manager import RunState
from streaming.errors import Unavailable

COPIES_WITHIN_S = 180.0
"""A broker that was away for ten seconds catches up in a few; one on a machine that just started, within a minute."""
LOOKS_EVERY_S = 0.5


def await_working(machines: Machines, instance: Instance) -> None:
    """Waits until a service that was restarted does its work again, and with Kafka until no copy is missing.

    Raises:
        Unavailable: not in its time, with the reason.
    """
    await_healthy(machines.manager, partial(probe, machines), services_of(machines)[instance.service])
    if instance.service == "kafka":
        await_all_copies(machines)


def await_everything(machines: Machines) -> None:
    """Waits until all that is not stopped does its work: also what was not restarted, but works with what was.

    Raises:
        Unavailable: not in its time, with the reason.
    """
    stopped = {one.name for one in machines.manager.all() if one.state is RunState.STOPPED}
    for name, service in services_of(machines).items():
        if name not in stopped:
            await_healthy(machines.manager, partial(probe, machines), service)


def await_all_copies(machines: Machines) -> None:
    """Waits until every broker has a copy of all that it should.

    Raises:
        Unavailable: not in time; the text says what is missing.
    """
    access, brokers = machines.client_settings().kafka, len(machines.inventory.having(Role.BROKER))
    _await(
        lambda: behind(access, brokers),
        COPIES_WITHIN_S,
        "Kafka lacks copies, so no broker may be restarted",
        "Deploying again repairs what is down",
    )


def _await(refusal: Callable[[], str], within_s: float, what: str, remedy: str) -> None:
    deadline = time.monotonic() + within_s
    while reason := refusal():
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} after {within_s:g} s: {reason}. {remedy}")
        time.sleep(LOOKS_EVERY_S)
