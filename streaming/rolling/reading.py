"""Reads the state that roll decides about, from Elasticsearch, Kafka and the rule files. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.alerting.rules.loading import load_rules
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked, find_drift
from streaming.elastic.finished import Mark, marks
from streaming.errors import ConfigError
from streaming.reindex.generations import unfinished
from streaming.retention.classes import Class
from streaming.retention.versions import read_retention
from streaming.rolling.state import MONTHLY, Index, Node, State, Watermark, identified
from streaming.settings import Settings

ANSWER_WITHIN_S = 30.0
_LOW = "cluster.routing.allocation.disk.watermark.low"


def read_state(
    settings: Settings, connection: Connection | None = None, clock: Callable[[], float] = time.time
) -> State:
    """Everything, as it is now.

    Raises:
        Unavailable: Elasticsearch or Kafka does not answer.
        Refused: Elasticsearch will not answer one of the questions.
    """
    own = connection or Connection(settings.elastic, ANSWER_WITHIN_S)
    try:
        wanted, broken = _wanted(settings)
        drift = find_drift(settings, own)
        nodes, watermark = _disks(own)
        indices, left, strange = _Indices(own, settings.index_prefix).all()
        snapshots, no_repository = _snapshots(own, settings)
        return State(
            now_s=clock(),
            index_prefix=settings.index_prefix,
            retention=read_retention(settings),
            wanted=wanted,
            indices=tuple(indices),
            unfinished=tuple(left),
            strange=tuple(strange),
            nodes=tuple(nodes),
            is_embedded=_is_embedded(own),
            watermark=watermark,
            snapshots=snapshots,
            drift=tuple(drift.drift),
            unrepairable=tuple(drift.unrepairable),
            broken=broken,
            no_repository=no_repository,
        )
    finally:
        if connection is None:
            own.close()


def _wanted(settings: Settings) -> tuple[tuple[Class, ...] | None, str]:
    try:
        rules = load_rules(settings.rules_path)
    except ConfigError as error:
        return None, str(error)
    return tuple(Class(c.name, c.days, tuple(map(str, c.levels)), c.services) for c in rules.retention), ""


class _Settings(msgspec.Struct):
    number_of_shards: str = msgspec.field(name="index.number_of_shards", default="1")
    write: str = msgspec.field(name="index.blocks.write", default="false")
    closed: str = msgspec.field(name="index.verified_before_close", default="false")


class _Known(msgspec.Struct):
    settings: _Settings = msgspec.field(default_factory=_Settings)
    aliases: dict[str, msgspec.Raw] = {}


class _Docs(msgspec.Struct):
    count: int = 0


class _Store(msgspec.Struct):
    size_in_bytes: int = 0


class _Part(msgspec.Struct):
    docs: _Docs = msgspec.field(default_factory=_Docs)
    store: _Store = msgspec.field(default_factory=_Store)
    segments: _Docs = msgspec.field(default_factory=_Docs)


class _Stats(msgspec.Struct):
    primaries: _Part = msgspec.field(default_factory=_Part)
    total: _Part = msgspec.field(default_factory=_Part)


class _AllStats(msgspec.Struct):
    indices: dict[str, _Stats] = {}


class _Indices:
    def __init__(self, connection: Connection, index_prefix: str) -> None:
        self._connection, self._prefix = connection, index_prefix
        self._pattern = ",".join(
            [
                mapping.logs_pattern(index_prefix),
                mapping.dead_letters_pattern(index_prefix),
                *(f"{index_prefix}-{kind}-*" for kind in MONTHLY),
            ]
        )

    def all(self) -> tuple[list[Index], list[str], list[str]]:
        """Those of Vigil, the oldest first; generations that are not in force; names that are none of Vigil's."""
        path = f"/{quote(self._pattern, safe='*,')}?features=settings,aliases&flat_settings=true&expand_wildcards=all"
        body = checked(self._connection.request("GET", path), "reading the indices").body
        known = decoding.decode(body, dict[str, _Known])
        left = unfinished({name: set(one.aliases) for name, one in known.items()})
        stats, marked = self._stats(), marks(self._connection, self._pattern)
        indices, strange = [], []
        for name, one in known.items():
            if name in left:
                continue
            made = self._index(name, one, stats.get(name, _Stats()), marked.get(name, Mark()))
            if made is None:
                strange.append(name)
            else:
                indices.append(made)
        return sorted(indices, key=lambda index: (index.day, index.index)), left, sorted(strange)

    def _index(self, index: str, known: _Known, stats: _Stats, mark: Mark) -> Index | None:
        """Of the names that lead to it, the one that says a day counts: its own, or that of the first generation."""
        for name in (index, *known.aliases):
            found = identified(self._prefix, name)
            if found is not None:
                break
        else:
            return None
        kind, retention_class, day, last_day = found
        return Index(
            index,
            name,
            kind,
            retention_class,
            day,
            last_day,
            docs=stats.primaries.docs.count,
            bytes=stats.primaries.store.size_in_bytes,
            total_bytes=stats.total.store.size_in_bytes,
            shards=int(known.settings.number_of_shards),
            segments=stats.primaries.segments.count,
            is_open=known.settings.closed != "true",
            blocked=known.settings.write == "true",
            mark=mark,
        )

    def _stats(self) -> Mapping[str, _Stats]:
        wanted = ",".join(f"indices.*.{part}" for part in ("primaries", "total.store"))
        path = (
            f"/{quote(self._pattern, safe='*,')}/_stats/docs,store,segments?expand_wildcards=open,hidden"
            f"&filter_path={wanted}"
        )
        body = checked(self._connection.request("GET", path), "reading sizes of indices").body
        return decoding.decode(body, _AllStats).indices


class _Total(msgspec.Struct):
    total_in_bytes: int = 0
    available_in_bytes: int = 0


class _Fs(msgspec.Struct):
    total: _Total = msgspec.field(default_factory=_Total)


class _Node(msgspec.Struct):
    name: str = ""
    roles: list[str] = []
    fs: _Fs = msgspec.field(default_factory=_Fs)


class _Nodes(msgspec.Struct):
    nodes: dict[str, _Node] = {}


class _ClusterSettings(msgspec.Struct):
    persistent: dict[str, object] = {}
    transient: dict[str, object] = {}
    defaults: dict[str, object] = {}

    def get(self, name: str) -> str:
        """The value in force."""
        found = (part.get(name) for part in (self.transient, self.persistent, self.defaults))
        return str(next((value for value in found if value is not None), ""))


def _disks(connection: Connection) -> tuple[Sequence[Node], Watermark]:
    path = "/_nodes/stats/fs?filter_path=nodes.*.name,nodes.*.roles,nodes.*.fs.total"
    body = checked(connection.request("GET", path), "reading the disks").body
    found = decoding.decode(body, _Nodes).nodes.values()
    nodes = [
        Node(node.name, node.fs.total.total_in_bytes, node.fs.total.available_in_bytes)
        for node in found
        # Of the data tiers the one for new indices: what lies in the others does not grow.
        if {"data", "data_content", "data_hot"} & set(node.roles) and node.fs.total.total_in_bytes
    ]
    path = "/_cluster/settings?include_defaults=true&flat_settings=true"
    body = checked(connection.request("GET", path), "reading the watermarks").body
    told = decoding.decode(body, _ClusterSettings)
    return sorted(nodes, key=lambda node: node.name), Watermark(told.get(_LOW), told.get(f"{_LOW}.max_headroom"))


class _Version(msgspec.Struct):
    build_type: str = ""


class _Root(msgspec.Struct):
    cluster_name: str = ""
    version: _Version = msgspec.field(default_factory=_Version)


def _is_embedded(connection: Connection) -> bool:
    """The node that infra/local makes from published jars: its build is of no type."""
    root = decoding.decode(checked(connection.request("GET", "/"), "asking what it is").body, _Root)
    return root.version.build_type == "unknown"


class _Snapshot(msgspec.Struct):
    snapshot: str
    state: str = ""


class _Snapshots(msgspec.Struct):
    snapshots: list[_Snapshot] = []


def _snapshots(connection: Connection, settings: Settings) -> tuple[frozenset[str] | None, str]:
    """Those that are whole or under way (one that failed is tried again, and its name is free by then); or why none
    can be taken, which keeps nothing else from being done."""
    if not settings.snapshot_repository:
        return None, ""
    path = f"/_snapshot/{quote(settings.snapshot_repository)}/{quote(settings.index_prefix)}-*?verbose=false"
    response = connection.request("GET", path)
    if response.error_type.startswith("repository_"):
        return None, (
            f"no snapshots: {response.error()}. Register repository {settings.snapshot_repository!r} in Elasticsearch, "
            f"or set {Settings.variable('snapshot_repository')} to one that it has (docs/retention.md)"
        )
    found = decoding.decode(checked(response, "reading the snapshots").body, _Snapshots).snapshots
    return frozenset(one.snapshot for one in found if one.state in ("SUCCESS", "IN_PROGRESS")), ""
