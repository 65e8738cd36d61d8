"""How the certificates of a deployment stand: what is valid until when, and what is to be renewed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from infra.machines.certificates import Authority, Change, life
from infra.machines.inventory import Inventory
from infra.machines.pending import Pending
from infra.machines.programs import Software
from infra.machines.rotation.subjects import Plan, all_certificates
from infra.machines.secret_store import SecretStore

AUTHORITY = "authority"
"""The authority's own certificate, among the names of files."""


class State(StrEnum):
    """What is to be said of a certificate; the worst that holds."""

    MISSING = "missing"
    """A deployment makes it."""
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    STRANGE = "strange"
    """Another authority than the one that signs has signed it."""
    DUE = "due"
    """A third of its life or less is left."""
    GOOD = "good"


@dataclass(frozen=True)
class Standing:
    """Of one certificate. `machine` is None for what this host keeps for itself; times are UTC, None where there is no
    certificate to read. `waits`: its service was not restarted yet since it was issued."""

    name: str
    subject: str
    machine: str | None
    state: State
    begins: datetime | None = None
    ends: datetime | None = None
    waits: bool = False

    def days_left(self, now: datetime) -> float | None:
        """Until it expires; below 0: since."""
        return None if self.ends is None else (self.ends - now).total_seconds() / 86_400


def standings(
    inventory: Inventory, store: SecretStore, pending: Pending, now: datetime, software: Software = Software.UPLOAD
) -> list[Standing]:
    """Of every certificate, the authority first. Nothing is issued."""
    found = [_standing(AUTHORITY, "its own", None, store.issuer.certificate, store.issuer, now)]
    for file, (subject, _) in all_certificates(inventory, software).items():
        service, _, machine = file.partition("@")
        kept = store.kept_certificate(file)
        waits = bool(machine) and service in pending.of(machine)
        chain = kept.chain if kept else None
        found.append(_standing(file, f"CN={subject}", machine or None, chain, store.issuer, now, waits))
    return found


def _standing(
    name: str,
    subject: str,
    machine: str | None,
    chain: bytes | None,
    issuer: Authority,
    now: datetime,
    waits: bool = False,
) -> Standing:
    if chain is None:
        return Standing(name, subject, machine, State.MISSING, waits=waits)
    try:
        found, ours = life(chain), name == AUTHORITY or issuer.signed(chain)
    except ValueError:
        return Standing(name, subject, machine, State.UNREADABLE, waits=waits)
    if found.left(now) <= 0:
        state = State.EXPIRED
    elif not ours:
        state = State.STRANGE
    else:
        state = State.DUE if found.due(now) else State.GOOD
    return Standing(name, subject, machine, state, found.begins, found.ends, waits)


def renewal(found: list[Standing], change: Change, now: datetime, within_days: float | None = None) -> Plan:
    """What is to be renewed: all that is not good, or that expires within so many days. An authority that is renewed,
    or whose change was broken off, takes everything with it."""

    def wanted(one: Standing) -> bool:
        left = one.days_left(now)
        soon = within_days is not None and left is not None and left <= within_days
        return one.state is not State.GOOD or soon

    names = [one.name for one in found if wanted(one)]
    if AUTHORITY in names or change is not Change.NONE:
        return Plan(certificates=tuple(one.name for one in found if one.name != AUTHORITY), authority=True)
    return Plan(certificates=tuple(names))


def cut_off(found: list[Standing]) -> bool:
    """Whether brokers do not know each other any more, or nobody knows them: then no gate between them can hold, and
    there is no work under way that a restart could disturb."""
    return any(one.state is State.EXPIRED and (one.name == AUTHORITY or one.name.startswith("kafka@")) for one in found)
