"""Asks every source for what it knows around an incident. Each may be away: that is then part of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from streaming.alerting.context.logs import logs_of
from streaming.alerting.context.model import Context, Deed, Found
from streaming.alerting.context.selecting import deeds_for, nodes_for, related_to
from streaming.alerting.messages import Incident
from streaming.alerting.state import read_incidents
from streaming.errors import VigilError
from streaming.heartbeat.view import read_nodes
from streaming.settings import Settings

T = TypeVar("T")


def gather(settings: Settings, incident: Incident, deeds: Iterable[Deed] = (), *, deeds_away: str = "") -> Context:
    """The context of an incident, as it is known now. All sources are asked at once: it takes a second where they
    answer, and half a minute at most.

    `deeds`: what was done to the platform, which only whoever runs it knows (`infra`); `deeds_away`: why it does not.
    Raises nothing that a source may meet: what is away is said in its place.
    """
    now_ms = time.time_ns() // 1_000_000
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="context") as asking:
        logs = asking.submit(logs_of, settings, incident)
        nodes = asking.submit(_asked, lambda: nodes_for(incident, read_nodes(settings, now_ms)))
        related = asking.submit(_asked, lambda: related_to(incident, read_incidents(settings)))
        return Context(
            incident=incident,
            gathered_ms=now_ms,
            logs=logs.result().before,
            trace=logs.result().trace,
            deeds=Found(deeds_for(incident, deeds), deeds_away),
            nodes=nodes.result(),
            related=related.result(),
        )


def _asked(question: Callable[[], Sequence[T]]) -> Found[T]:
    try:
        return Found(tuple(question()))
    except VigilError as error:
        return Found(away=str(error))
