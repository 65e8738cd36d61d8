"""How long each node was up in a period, from the registry and the changes of node state in Kafka.

What can be known: changes of state are kept for 7 days (topic `node-status`), the registry holds the state of now and
since when. A node without any change in the period was all the time as it was before; where that is not kept either,
it is as the registry has it, if that began before the period, and unknown else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from streaming import decoding
from streaming.heartbeat.states import PIPELINE_ID, State
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.kafka.ranges import RangeReader
from streaming.reports.incidents import known_since
from streaming.reports.model import NodeLine, Nodes
from streaming.reports.period import Period
from streaming.settings import Settings

LISTED = 30

UP, DOWN, PLANNED, UNKNOWN = "up", "down", "planned", "unknown"


class Known(msgspec.Struct):
    """A node as the registry has it: what a report needs of it."""

    node_id: str
    service: str
    state: State
    since_ms: int
    first_seen_ms: int
    clean_shutdown: bool = False


class Change(msgspec.Struct):
    """A record of `node-status`: the node after it."""

    node_id: str
    state: State
    at_ms: int
    clean_shutdown: bool = False


@dataclass
class _Course:
    """A node's states so far; `since_ms` None: nothing is known of it yet."""

    state: str = UNKNOWN
    since_ms: int | None = None
    up_ms: int = 0
    down_ms: int = 0
    planned_ms: int = 0
    unknown_ms: int = 0
    outages: int = 0


class Availability:
    """Adds up states from changes, taken in order. Pure; memory grows with the nodes, 300 B each, not with changes."""

    def __init__(self, period: Period, registry: Mapping[str, Known]) -> None:
        self._period, self._registry = period, registry
        self._courses: dict[str, _Course] = {}

    def take(self, change: Change) -> None:
        """A change of a node. Those after the period end nothing."""
        if change.node_id not in self._registry or change.at_ms >= self._period.end_ms:
            return
        course = self._courses.setdefault(change.node_id, _Course())
        if course.since_ms is None:
            course.since_ms = self._first_known(change)
        after = _kind(change.state, clean=change.clean_shutdown)
        at_ms = max(change.at_ms, course.since_ms)
        self._add(course, at_ms)
        if after == DOWN and course.state != DOWN and change.at_ms >= self._period.start_ms:
            course.outages += 1
        course.state, course.since_ms = after, at_ms

    def told(self, known_since_ms: int | None = None) -> Nodes:
        """What there is to say."""
        found = [self._line(node) for node in self._registry.values() if node.state is not State.RETIRED]
        found = [line for line in found if _total(line)]
        up, known = sum(line.up_ms for line in found), sum(line.up_ms + line.down_ms for line in found)
        worst = [line for line in found if line.down_ms or line.outages]
        worst.sort(key=lambda line: (line.availability or 0.0, -line.down_ms, line.node_id))
        return Nodes(
            total=len(found),
            always_up=sum(line.availability == 1.0 and not line.outages for line in found),
            availability=up / known if known else None,
            worst=worst[:LISTED],
            known_since_ms=known_since_ms,
        )

    def _first_known(self, change: Change) -> int:
        """From when on a node's time counts: it may have come within the period."""
        first_seen_ms = self._registry[change.node_id].first_seen_ms
        return max(self._period.start_ms, min(first_seen_ms, change.at_ms))

    def _line(self, node: Known) -> NodeLine:
        course = self._courses.get(node.node_id) or _Course()
        if course.since_ms is None:
            course.since_ms = max(self._period.start_ms, min(node.first_seen_ms, self._period.end_ms))
            if node.since_ms <= course.since_ms:
                course.state = _kind(node.state, clean=node.clean_shutdown)
        self._add(course, self._period.end_ms)
        course.since_ms = self._period.end_ms
        return NodeLine(
            node_id=node.node_id,
            service=node.service,
            up_ms=course.up_ms,
            down_ms=course.down_ms,
            planned_ms=course.planned_ms,
            unknown_ms=course.unknown_ms,
            outages=course.outages,
        )

    def _add(self, course: _Course, until_ms: int) -> None:
        begin = max(course.since_ms or 0, self._period.start_ms)
        length = max(0, min(until_ms, self._period.end_ms) - begin)
        if course.state == UP:
            course.up_ms += length
        elif course.state == DOWN:
            course.down_ms += length
        elif course.state == PLANNED:
            course.planned_ms += length
        else:
            course.unknown_ms += length


def nodes_of(settings: Settings, period: Period) -> Nodes:
    """The nodes of a period. Reads the registry and all changes that are kept, 64 MiB at most.

    Raises:
        Unavailable: Kafka does not answer, or a topic is missing.
    """
    registry = _decoded(read_all(settings, topics.NODE_REGISTRY).values())
    # All accumulators together are no node that anybody runs.
    registry.pop(PIPELINE_ID, None)
    found, decoder = Availability(period, registry), decoding.decoder(Change)
    topic = settings.topic(topics.NODE_STATUS)
    with RangeReader(settings, "report") as reader:
        for record in reader.read_since(topic, 0):
            try:
                found.take(decoder.decode(record.value() or b""))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        known_since_ms = known_since(reader, topic)
    cut = known_since_ms is not None and known_since_ms > period.start_ms
    return found.told(known_since_ms if cut else None)


def _decoded(values: Iterable[bytes]) -> dict[str, Known]:
    found, decoder = {}, decoding.decoder(Known)
    for value in values:
        try:
            node = decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        found[node.node_id] = node
    return found


def _kind(state: State, *, clean: bool) -> str:
    match state:
        case State.UP | State.SUSPECT:
            return UP
        case State.DOWN:
            return PLANNED if clean else DOWN
        case State.MAINTENANCE | State.RETIRED:
            return PLANNED
        case State.UNKNOWN:
            return UNKNOWN


def _total(line: NodeLine) -> int:
    return line.up_ms + line.down_ms + line.planned_ms + line.unknown_ms
