"""Kibana on machines: waited for, and given its objects, as steps of a deployment; or skipped with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import msgspec

from infra.gates import Probe
from infra.kibana.access import KibanaAccess, access_of
from infra.kibana.checks import export
from infra.kibana.client import Imported, import_objects
from infra.machines.elastic.security import key_name
from infra.machines.inventory import Inventory
from infra.machines.programs import Software
from infra.machines.target import Machines
from streaming import decoding
from streaming.errors import ConfigError, Unavailable, VigilError

STARTS_WITHIN_S = 300.0
"""Its first start makes indices of its own, on a machine of two cores."""
ANSWER_WITHIN_S = 10.0
ASKS_EVERY_S = 2.0

AVAILABLE = "available"

Report = Callable[[str], None]


def why_skipped(inventory: Inventory, software: Software) -> str | None:
    """Why there is no Kibana in a deployment, for a person; None where there is one."""
    if software is Software.UPLOAD:
        return "software is uploaded: that has no Kibana; Vigil's own screen in Airflow shows logs and incidents"
    if inventory.kibana_outside is None:
        return "no machine has the role kibana"
    return None


class _Level(msgspec.Struct):
    level: str = ""


class _Overall(msgspec.Struct):
    overall: _Level = msgspec.field(default_factory=_Level)


class _Status(msgspec.Struct):
    status: _Overall = msgspec.field(default_factory=_Overall)


def level(access: KibanaAccess) -> str:
    """What Kibana says of itself: "available", "degraded", "unavailable"; empty where it answers something else.

    Raises:
        Unavailable: it does not answer.
        ConfigError: the file of authorities cannot be used.
    """
    try:
        with httpx.Client(verify=access.tls(), timeout=ANSWER_WITHIN_S, trust_env=False) as http:
            answer = http.get(f"{access.base}/api/status")
    except httpx.TransportError as error:
        raise Unavailable(f"Kibana at {access.base} does not answer ({type(error).__name__})") from error
    try:
        return decoding.decode(answer.content, _Status).status.overall.level
    except msgspec.DecodeError:
        return ""


def health(machines: Machines) -> Probe:
    """Whether Kibana says that it is available; whatever happens becomes a `Probe`."""
    try:
        said = level(_access(machines))
    except VigilError as error:
        return Probe(False, str(error))
    return Probe(said == AVAILABLE, said or "it is starting")


def await_available(machines: Machines, report: Report, within_s: float = STARTS_WITHIN_S) -> None:
    """Waits until Kibana says that it is available; tells each time that it says something else than before.

    Raises:
        ConfigError: the deployment has no Kibana.
        Unavailable: not in time; the text has what it said last.
    """
    access, deadline, said = _access(machines), time.monotonic() + within_s, ""
    while True:
        try:
            now = level(access) or "it is starting"
        except Unavailable as error:
            now = str(error)
        if now == AVAILABLE:
            report(f"Kibana at {access.base} is available")
            return
        if now != said:
            report(f"Kibana at {access.base}: {now}")
            said = now
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Kibana at {access.base} is not available after {within_s:.0f} s: {said}. "
                "Its journal says why: unit vigil-kibana.service"
            )
        time.sleep(ASKS_EVERY_S)


def bring_objects(machines: Machines, report: Report, within_s: float = STARTS_WITHIN_S) -> Imported:
    """Writes data views, searches and dashboards over those that are there; a Kibana that starts is waited for.

    Raises:
        ConfigError: the deployment has no Kibana, or no key for it yet.
        Unavailable: it did not answer in that time.
        Refused: it does not take them; the text says which, and why.
    """
    access, key = _access(machines), machines.store.elastic.secret(key_name("kibana-objects"))
    if key is None:
        raise ConfigError(
            "it has no key to import with yet", file=machines.inventory.deployment, remedy="Deploy the platform"
        )
    raw = export(machines.settings.index_prefix)
    done = import_objects(replace(access, api_key=key), raw, wait_s=within_s, told=report)
    report(f"{done.count} objects of Kibana, {done.overwritten} of them were there before")
    return done


def _access(machines: Machines) -> KibanaAccess:
    url = machines.inventory.kibana_outside
    if url is None:
        raise ConfigError(
            "no machine has the role kibana", file=machines.inventory.deployment, remedy="Give it to one of them"
        )
    nothing = {"kibana_username": "", "kibana_ca_path": str(machines.store.authority)}
    return access_of(machines.settings.model_copy(update=nothing), url=url)
