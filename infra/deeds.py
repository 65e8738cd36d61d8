"""What was done to the platform lately, as far as it is recorded: the last order, and when each service was started."""

from __future__ import annotations

from collections.abc import Iterable

from infra.intent import Intent, Order
from infra.service_manager import ServiceStatus
from streaming.alerting.context.model import Deed

TOGETHER_MS = 60_000
"""Services that were started within a minute are one deed: a deployment starts a dozen."""


def deeds(order: Order | None, statuses: Iterable[ServiceStatus]) -> list[Deed]:
    """What was done, the oldest first. A service that was started again and again shows its last start."""
    found = []
    if order is not None:
        what = "deployment ordered" if order.intent is Intent.UP else "teardown ordered"
        found.append(Deed(order.since_ms, what, order.by))
    started = sorted((status.started_ms, status.name) for status in statuses if status.started_ms is not None)
    group: list[tuple[int, str]] = []
    for at_ms, name in started:
        if group and at_ms - group[0][0] > TOGETHER_MS:
            found.append(_start(group))
            group = []
        group.append((at_ms, name))
    if group:
        found.append(_start(group))
    return sorted(found, key=lambda deed: deed.at_ms)


def _start(group: list[tuple[int, str]]) -> Deed:
    return Deed(group[-1][0], f"started: {', '.join(name for _, name in group)}")
