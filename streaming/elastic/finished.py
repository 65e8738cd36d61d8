"""The mark that roll leaves in a day's index, and how an index that roll has finished takes writes again.

A finished index takes no writes (`index.blocks.write`). A reindexing and an operator's hand block in the same way, so
roll's own block is told from theirs by a mark in the mapping's `_meta`, which Elasticsearch lets change at any time. An
index is marked before it is blocked, and unblocked before the mark goes: killed in between, nobody takes roll's block
for another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic.connection import Connection, Response
from streaming.elastic.ensure import checked
from streaming.errors import Unavailable

LATE_MS = 3_600_000
"""How long an index that was opened for a late record stays open: others may follow, and roll comes hourly."""

_GONE = "index_not_found_exception"


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What roll has done to an index. Times are in ms of the epoch."""

    merged: bool = False
    """Once, after its day; late records may have come since."""
    finished_ms: int = 0
    """When it was blocked by roll; 0: it is not, or not by roll."""
    writable_until_ms: int = 0
    """Until then it is not blocked (again)."""


class _Meta(msgspec.Struct):
    vigil: Mark = msgspec.field(default_factory=Mark)


class _Mapping(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


class _Index(msgspec.Struct):
    mappings: _Mapping = msgspec.field(default_factory=_Mapping)


class _Blocked(msgspec.Struct):
    shards_acknowledged: bool = False
    indices: list[msgspec.Raw] = []


def marks(connection: Connection, pattern: str) -> dict[str, Mark]:
    """The marks of indices; those without any are left out.

    Raises (every function here):
        Unavailable: Elasticsearch does not answer, or is busy.
        Refused: it will not have this.
    """
    path = f"/{quote(pattern, safe='*,')}/_mapping?filter_path=*.mappings._meta.vigil&{_ALL}"
    body = checked(connection.request("GET", path), f"reading the marks of {pattern}").body
    return {name: index.mappings.meta.vigil for name, index in decoding.decode(body, dict[str, _Index]).items()}


_ALL = "expand_wildcards=all&ignore_unavailable=true"


def write_mark(connection: Connection, index: str, mark: Mark) -> None:
    """Puts a mark in place of the one before; an index that is gone needs none."""
    _unless_gone(connection.json("PUT", f"/{quote(index)}/_mapping", {"_meta": {"vigil": mark}}), f"marking {index}")


def block(connection: Connection, index: str) -> None:
    """Takes no more writes; returns when those under way are done."""
    body = checked(connection.request("PUT", f"/{quote(index)}/_block/write"), f"blocking {index}").body
    answer = decoding.decode(body, _Blocked)
    # Of an index that is blocked already, by this very request, it names none and has no shards to ask.
    if answer.indices and not answer.shards_acknowledged:
        raise Unavailable(f"Elasticsearch did not block writes to {index} in time")


def unblock(connection: Connection, index: str) -> None:
    """Takes writes again; nothing to do for an index that is gone."""
    body = {"index.blocks.write": None}
    _unless_gone(connection.json("PUT", f"/{quote(index)}/_settings", body), f"unblocking {index}")


def finish(connection: Connection, index: str, mark: Mark) -> None:
    """Blocks an index for good, as roll does."""
    write_mark(connection, index, mark)
    block(connection, index)


def lift(connection: Connection, names: Iterable[str], until_ms: int) -> list[str]:
    """Opens those of these indices (names, aliases, patterns) that roll has finished, at least until then; which they
    were. A block of anybody else's is left."""
    pattern = ",".join(sorted(names))
    opened = []
    for index, mark in marks(connection, pattern).items() if pattern else ():
        if mark.finished_ms:
            unblock(connection, index)
            write_mark(connection, index, Mark(merged=mark.merged, writable_until_ms=until_ms))
            opened.append(index)
    return opened


def stay_open(connection: Connection, indices: Iterable[str], until_ms: int) -> None:
    """Of indices that were opened: until when they stay so. Nothing, where one was finished again meanwhile."""
    names = ",".join(indices)
    for index, mark in marks(connection, names).items() if names else ():
        if not mark.finished_ms:
            write_mark(connection, index, Mark(merged=mark.merged, writable_until_ms=until_ms))


def _unless_gone(response: Response, doing: str) -> None:
    if response.error_type != _GONE:
        checked(response, doing)
