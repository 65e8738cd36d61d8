"""What an audit of the nodes goes by: inventory, registry, beats, logs, incidents, each asked where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from streaming.alerting.messages import Incident
from streaming.alerting.rules.loading import load_rules
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.source import last_good
from streaming.alerting.state import read_incidents
from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.heartbeat.log_rates import counted
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.view import last_beats
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.kafka.ranges import RangeReader
from streaming.pipeline.messages import PipelineStatus
from streaming.pipeline.reading import latest_status
from streaming.settings import Settings

MINUTE_MS = 60_000

BEATS_OF_MS = 10 * MINUTE_MS
"""How far back beats are read: several intervals of a node that beats once a minute."""
BEATS_READ = 300_000
"""At most, the latest: 1.5 s, and 30 s of 10,000 nodes that beat each second."""

LOGS_OF_MS = 15 * MINUTE_MS
"""A node that beats and has not logged for so long may be a zombie."""
LOGS_BEFORE_MS = 24 * 60 * MINUTE_MS
"""How far back it is asked whether such a node used to log."""
SUSPECTS_ASKED = 1_000
"""Of which it is asked whether they used to log."""
ANSWER_WITHIN_S = 30.0

KAFKA, ELASTICSEARCH, RULES = "kafka", "elasticsearch", "rules"

T = TypeVar("T")


@dataclass(frozen=True)
class Beats:
    """When the last beat of each node came to Kafka, of the beats since `since_ms`."""

    last_ms: Mapping[str, int]
    since_ms: int
    read: int = 0


@dataclass(frozen=True)
class Evidence:
    """What was to be had. None: it was not, and `away` says why."""

    now_ms: int
    rules: RuleSet | None
    registry: Mapping[str, NodeRecord] | None
    beats: Beats | None
    logged: frozenset[str] | None
    """Nodes whose logs were received within `LOGS_OF_MS` and are indexed."""
    incidents: Sequence[Incident] | None
    pipeline: PipelineStatus | None
    """None also where nothing was ever measured."""
    away: Mapping[str, str] = field(default_factory=dict)
    """By source: why it could not be asked."""


class Gathering:
    """Asks every source, the next also where one is away; a server that is away is asked once."""

    def __init__(self, settings: Settings, now_ms: int, away: Mapping[str, str]) -> None:
        self._settings, self._now_ms = settings, now_ms
        self.away = dict(away)
        """By source: why it could not be asked; known from the start of those that are known not to answer."""

    def evidence(self) -> Evidence:
        """All of it."""
        settings = self._settings
        return Evidence(
            now_ms=self._now_ms,
            rules=self._asked(RULES, self._rules),
            registry=self._asked(KAFKA, lambda: registry(settings)),
            beats=self._asked(KAFKA, lambda: recent_beats(settings, self._now_ms)),
            logged=self._asked(ELASTICSEARCH, lambda: logged_since(settings, self._now_ms - LOGS_OF_MS)),
            incidents=self._asked(KAFKA, lambda: read_incidents(settings)),
            pipeline=self._asked(KAFKA, lambda: latest_status(settings)),
            away=self.away,
        )

    def used_to_log(self, nodes: Sequence[str]) -> Mapping[str, int] | None:
        """Logs of each of these nodes (the first `SUSPECTS_ASKED`) within `LOGS_BEFORE_MS`; None: not to be had."""
        if not nodes:
            return {}
        asked = nodes[:SUSPECTS_ASKED]
        return self._asked(ELASTICSEARCH, lambda: log_counts(self._settings, asked, self._now_ms - LOGS_BEFORE_MS))

    def _rules(self) -> RuleSet | None:
        try:
            return load_rules(self._settings.rules_path)
        except ConfigError:
            kept = last_good(self._settings)
            if kept is None:
                raise
            return kept

    def _asked(self, source: str, ask: Callable[[], T]) -> T | None:
        if source in self.away:
            return None
        try:
            return ask()
        except VigilError as error:
            self.away[KAFKA if source == RULES and isinstance(error, Unavailable) else source] = str(error)
            return None


def registry(settings: Settings) -> dict[str, NodeRecord]:
    """The registry topic, by node.

    Raises:
        Unavailable: Kafka does not answer.
    """
    records = readable(read_all(settings, topics.NODE_REGISTRY), NodeRecord, topics.NODE_REGISTRY, "audit")
    return {record.node_id: record for record in records.values()}


def recent_beats(settings: Settings, now_ms: int) -> Beats:
    """The last beats, read from Kafka: what the heartbeat monitor should have seen, too.

    Raises:
        Unavailable: Kafka does not answer.
    """
    topic = settings.topic(topics.HEARTBEATS)
    with RangeReader(settings, "audit") as reader:
        bounds = reader.bounds_of(topic)
        wanted = reader.at_time(topic, now_ms - BEATS_OF_MS, bounds)
        share = BEATS_READ // max(1, len(bounds))
        first = {p: max(wanted[p], bound.end - share) for p, bound in bounds.items()}
        since, read = now_ms - BEATS_OF_MS, 0
        last: dict[str, int] = {}
        cut = {p for p in bounds if first[p] > wanted[p]}
        for batch in reader.read(topic, {p: (first[p], bound.end) for p, bound in bounds.items()}):
            read += len(batch)
            for message in batch:
                if message.partition() in cut:
                    # Of a partition that is not read whole, the time of its first record that is.
                    cut.discard(message.partition() or 0)
                    since = max(since, message.timestamp()[1])
            for node, at_ms in last_beats(batch).items():
                last[node] = max(at_ms, last.get(node, 0))
    return Beats(last, since, read)


def logged_since(settings: Settings, since_ms: int) -> frozenset[str]:
    """Nodes whose logs were received since then and are indexed.

    Raises:
        Unavailable: Elasticsearch does not answer.
        Refused: it will not.
    """
    return frozenset(counted(settings, _received_since(since_ms), within_s=ANSWER_WITHIN_S))


def log_counts(settings: Settings, nodes: Sequence[str], since_ms: int) -> dict[str, int]:
    """Logs of each of these nodes that were received since then; one without any is left out.

    Raises: as `logged_since`.
    """
    named = {"terms": {"service.node.name": list(nodes)}}
    return counted(settings, _received_since(since_ms), named, within_s=ANSWER_WITHIN_S)


def _received_since(since_ms: int) -> dict[str, object]:
    return {"range": {"event.created": {"gte": since_ms, "format": "epoch_millis"}}}
