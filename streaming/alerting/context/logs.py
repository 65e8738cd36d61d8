"""Logs around an incident: from Elasticsearch, or from Kafka where that is away or does not have them yet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from streaming.alerting.context.model import Found, LogLine, began_ms
from streaming.alerting.context.selecting import line_of, not_among
from streaming.alerting.messages import Incident
from streaming.alerting.stored.documents import StoredLog, from_document
from streaming.alerting.stored.records import records_between
from streaming.elastic.connection import Connection
from streaming.elastic.query import Query, Term, one_of
from streaming.elastic.search import LogSearch
from streaming.errors import VigilError
from streaming.settings import Settings

FEW = 5
"""Where its node logged less than that, the logs of its whole service say more."""

LOGS_LIMIT = 50
TRACE_LIMIT = 100

BEFORE_MS = 15 * 60 * 1000
"""How far back logs of its service are looked for, and logs of its trace."""
MARGIN_MS = 2_000
"""By so much the clocks of accumulators and the manager may differ: its own log is to be among the last."""
AFTER_MS = 60 * 1000
"""So much longer its trace is followed."""

ANSWER_WITHIN_S = 5.0
"""Of Elasticsearch, for each question; there are three at most."""
KAFKA_WITHIN_S = 10.0
"""Of reading Kafka: some 300,000 logs. What is not read by then is left out, and that is said."""

SLICES_MS = (15_000, 60_000, 240_000, BEFORE_MS)
"""How far back Kafka is read, slice by slice, until enough is found: most of what is wanted was logged at last."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Logs:
    """The last logs of its service and node until it opened, and those of its trace."""

    before: Found[LogLine]
    trace: Found[LogLine]


def logs_of(settings: Settings, incident: Incident, clock: Clock = time.monotonic) -> Logs:
    """What can be found; raises nothing: where a source is away, that is in the answer."""
    try:
        found = _from_elasticsearch(settings, incident)
    except VigilError as error:
        return _from_kafka(settings, incident, f"Elasticsearch is away: {error}", clock)
    if not found.before.items and incident.sample.source:
        # Its own log is not there: the indexer is behind.
        return _from_kafka(settings, incident, "Elasticsearch does not have them yet", clock)
    return found


def _from_elasticsearch(settings: Settings, incident: Incident) -> Logs:
    sample, opened_ms = incident.sample, began_ms(incident)
    with closing(Connection(settings.elastic, ANSWER_WITHIN_S)) as connection:
        search = LogSearch(connection, settings.index_prefix)

        def find(terms: tuple[Term, ...], limit: int, after_ms: int = MARGIN_MS) -> tuple[LogLine, ...]:
            query = Query(terms=terms, since_ms=opened_ms - BEFORE_MS, until_ms=opened_ms + after_ms)
            hits = search.find(query, limit=limit, time_field="event.created").hits
            logs = (from_document(bytes(hit.raw)) for hit in reversed(hits))
            return tuple(line_of(log) for log in logs if log is not None)

        service, node = _term("service", sample.service), _term("node", sample.node_id)
        before = find((*service, *node), LOGS_LIMIT) if node else ()
        if len(before) < FEW and service:
            before = find(service, LOGS_LIMIT)
        trace = find(_term("trace", sample.trace_id or ""), TRACE_LIMIT, AFTER_MS) if sample.trace_id else ()
    return Logs(Found(before, by="Elasticsearch"), Found(not_among(trace, before), by="Elasticsearch"))


def _term(name: str, value: str) -> tuple[Term, ...]:
    return (one_of(name, [value]),) if value else ()


def _from_kafka(settings: Settings, incident: Incident, why: str, clock: Clock) -> Logs:
    sample, opened_ms = incident.sample, began_ms(incident)
    give_up_at = clock() + KAFKA_WITHIN_S
    on_node, of_service, trace = list[LogLine](), list[LogLine](), list[LogLine]()
    away, until_ms = "", opened_ms + AFTER_MS
    for width_ms in SLICES_MS:
        since_ms = opened_ms - width_ms
        try:
            slices, is_whole = _slice(settings, incident, since_ms, until_ms, lambda: clock() > give_up_at)
        except VigilError as error:
            away = str(error)
            break
        on_node, of_service, trace = slices[0] + on_node, slices[1] + of_service, slices[2] + trace
        if not is_whole:
            away = f"Kafka was not read to the end within {KAFKA_WITHIN_S:g} s"
            break
        until_ms = since_ms
        if len(on_node or of_service) >= LOGS_LIMIT and not sample.trace_id:
            break
    chosen = on_node if len(on_node) >= min(FEW, len(of_service)) else of_service
    before, by = tuple(chosen[-LOGS_LIMIT:]), f"Kafka, since {why}"
    return Logs(Found(before, away, by), Found(not_among(trace[-TRACE_LIMIT:], before), away, by))


def _slice(
    settings: Settings, incident: Incident, since_ms: int, until_ms: int, is_over: Callable[[], bool]
) -> tuple[tuple[list[LogLine], list[LogLine], list[LogLine]], bool]:
    """Of its node, of its service, and of its trace; and whether all was read in time."""
    sample, opened_ms = incident.sample, began_ms(incident)
    on_node, of_service = deque[LogLine](maxlen=LOGS_LIMIT), deque[LogLine](maxlen=LOGS_LIMIT)
    trace = deque[LogLine](maxlen=TRACE_LIMIT)
    is_whole = True
    for log in records_between(settings, since_ms, until_ms):
        if is_over():
            is_whole = False
            break
        if log.received_ms <= opened_ms + MARGIN_MS:
            _sort_in(log, sample.service, sample.node_id, on_node, of_service)
        if sample.trace_id and log.event.trace_id == sample.trace_id:
            trace.append(line_of(log))
    return (list(on_node), list(of_service), list(trace)), is_whole


def _sort_in(log: StoredLog, service: str, node_id: str, on_node: deque[LogLine], of_service: deque[LogLine]) -> None:
    event = log.event
    if service and event.service != service:
        return
    if node_id and event.node_id == node_id:
        on_node.append(line_of(log))
    if service:
        of_service.append(line_of(log))
