"""What a person may have done about an incident, and how it is done: orders to the alert manager, or to a service."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from streaming.errors import ConfigError

if TYPE_CHECKING:
    from streaming.alerting.messages import AuditEntry, Incident, Silence

SILENCE_S = 3600.0


class Choice(StrEnum):
    """What is offered."""

    ACKNOWLEDGE = "Acknowledge"
    SILENCE = "Silence for 1 h"
    RESTART = "Restart service"
    NOTHING = "Nothing"


class Gives(Protocol):
    """`streaming.alerting.orders.Orders`, as much of it as is needed here."""

    def acknowledge(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry: ...

    def silence_incident(self, incident_id: str, *, author: str, reason: str = "", for_s: float) -> Silence: ...

    def annotate(
        self, incident_id: str, text: str, *, author: str, reason: str = "", note_id: str = ""
    ) -> AuditEntry: ...


class Restarts(Protocol):
    """`infra.service_manager.ServiceManager`, as much of it as is needed here."""

    def restart(self, name: str) -> None: ...


def service_of(incident: Incident, services: Collection[str], asked: str = "") -> str:
    """Which service of the catalogue a restart is about: the one that was asked for, else what the incident says of
    itself: its service, its node, its group.

    Raises:
        ConfigError: there is none of that name, or the incident names none; the text says which there are.
    """
    remedy = f"There are: {', '.join(services)}"
    if asked:
        if asked not in services:
            raise ConfigError(f"no service {asked!r}", remedy=remedy)
        return asked
    named = derived(incident, services)
    if not named:
        raise ConfigError(
            f"incident {incident.incident_id} names no service of the platform", remedy=f"Choose one. {remedy}"
        )
    return named


def derived(incident: Incident, services: Collection[str]) -> str:
    """The service that the incident itself is about; empty: none of the catalogue."""
    sample = incident.sample
    names = (sample.service, sample.node_id, *incident.group.values())
    return next((name for name in names if name in services), "")


def carry_out(
    choice: Choice, incident: Incident, *, author: str, work: str, orders: Gives, manager: Restarts, service: str
) -> str:
    """Does what was chosen, as the person who chose it; returns what was done. `service`: what `RESTART` restarts;
    `work` names what is under way.

    Raises:
        UnknownIncident, NotYetObeyed, Unavailable: as orders and service managers do.
    """
    # A DAG file needs the choices, and not what orders need.
    from streaming.alerting.orders import NothingDone, NotYetObeyed

    incident_id = incident.incident_id
    try:
        match choice:
            case Choice.ACKNOWLEDGE:
                orders.acknowledge(incident_id, author=author, reason=work)
                return f"{incident_id} is acknowledged by {author}"
            case Choice.SILENCE:
                silence = orders.silence_incident(incident_id, author=author, reason=work, for_s=SILENCE_S)
                return f"silence {silence.silence_id} mutes {incident_id} for 1 h; `vigil silence end` ends it"
            case Choice.RESTART:
                manager.restart(service)
                with suppress(NotYetObeyed):  # the manager itself may be what was restarted: the order waits in Kafka
                    orders.annotate(incident_id, f"Service {service} was restarted.", author=author, reason=work)
                return f"{service} was restarted"
            case Choice.NOTHING:
                return "nothing was to be done"
    except NothingDone as nothing:
        # Somebody was faster, or it is over.
        return f"nothing was done: {nothing.entry.outcome}"
