"""The step of a deployment between a packaged Elasticsearch's start and that of all that speak to it."""

from __future__ import annotations

from collections.abc import Callable

from infra.machines import deploying
from infra.machines.elastic.security import Security
from infra.machines.target import Machines

Report = Callable[[str], None]


def security_of(machines: Machines, report: Report) -> Security:
    """Of the Elasticsearch of these machines, asked by way of its first node."""
    store, settings = machines.store, machines.settings
    url = machines.inventory.elasticsearch_outside
    return Security(url, store.authority, store.elastic, settings.index_prefix, report)


def ensure_security(machines: Machines, report: Report) -> tuple[str, ...]:
    """Waits for it, and makes password, Kibana's token and API keys what they should be; returns the clients whose key
    is new.

    The machines know of them after the next `rollout.configure`, which restarts what has an older one: a deployment
    configures them once before Elasticsearch starts, and once after this. Where nothing is new that changes nothing.

    Raises:
        Unavailable: it did not let us in in time.
        Refused: it does not do what is asked; the text has its reason.
    """
    return security_of(machines, report).ensure()


def bring_keys(machines: Machines, report: Report) -> None:
    """`ensure_security`, and the machines are given what is new of it, if anything is.

    Raises:
        Unavailable, Refused: as `ensure_security`, and where a machine cannot be reached.
    """
    before = machines.store.elastic.values()
    ensure_security(machines, report)
    if machines.store.elastic.values() != before:
        deploying.configure(machines, report)
