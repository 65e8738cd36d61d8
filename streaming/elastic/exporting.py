"""Writes all documents of an installation to files: for who takes an installation down and wants to keep its logs.

One file an index, `INDEX.ndjson.zst`: pairs of lines as `_bulk` takes them, so that any Elasticsearch can be given them
again (`zstd -dc FILE | split -l 20000 --filter 'curl --data-binary @- ...'`). A file is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec
import zstandard

from streaming import decoding
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.errors import ConfigError
from streaming.settings import Settings

PAGE = 2_000
"""Documents a request: a megabyte or two."""
KEPT_OPEN = "5m"
ANSWERS_WITHIN_S = 60.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """One index: its file, and how many documents are in it."""

    index: str
    file: Path
    documents: int


class _Named(msgspec.Struct):
    index: str


class _Pit(msgspec.Struct):
    id: str


class _Hit(msgspec.Struct):
    name: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source")
    sort: list[int]


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Page(msgspec.Struct):
    hits: _Hits
    pit_id: str


def export_indices(settings: Settings, folder: Path, report: Report) -> tuple[Exported, ...]:
    """All indices of the installation, each as it was when its turn came; what comes later is not in it.

    Raises:
        ConfigError: the folder cannot be written.
        Unavailable, Refused: Elasticsearch does not answer, or refuses.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(Connection(settings.elastic, ANSWERS_WITHIN_S)) as connection:
            done = []
            for index in _indices(connection, settings.index_prefix):
                done.append(_export(connection, index, folder))
                report(f"{done[-1].documents:>10,} documents of {index}")
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", file=folder, remedy="Make room") from error
    report(f"{sum(one.documents for one in done):>10,} documents in {folder}")
    return tuple(done)


def _indices(connection: Connection, prefix: str) -> list[str]:
    path = f"/_cat/indices/{quote(prefix)}-*?format=json&h=index&s=index"
    response = checked(connection.request("GET", path), "listing indices")
    return [found.index for found in decoding.decode(response.body, list[_Named])]


def _export(connection: Connection, index: str, folder: Path) -> Exported:
    file, draft = folder / f"{index}.ndjson.zst", folder / f".{index}.part"
    documents = 0
    with draft.open("wb") as raw, zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as out:
        for hit in _hits(connection, index):
            out.write(b'{"create":' + msgspec.json.encode({"_index": index, "_id": hit.name}) + b"}\n")
            out.write(bytes(hit.source) + b"\n")
            documents += 1
    draft.chmod(0o600)
    draft.rename(file)
    return Exported(index, file, documents)


def _hits(connection: Connection, index: str) -> Iterator[_Hit]:
    opened = checked(
        connection.request("POST", f"/{quote(index)}/_pit?keep_alive={KEPT_OPEN}"), "opening a view of an index"
    )
    pit = decoding.decode(opened.body, _Pit).id
    after: list[int] | None = None
    try:
        while True:
            body: dict[str, object] = {
                "size": PAGE,
                "pit": {"id": pit, "keep_alive": KEPT_OPEN},
                "sort": ["_shard_doc"],
                "track_total_hits": False,
            }
            if after is not None:
                body["search_after"] = after
            answer = checked(connection.request("POST", "/_search", msgspec.json.encode(body)), "reading an index")
            page = decoding.decode(answer.body, _Page)
            pit = page.pit_id
            yield from page.hits.hits
            if len(page.hits.hits) < PAGE:
                return
            after = page.hits.hits[-1].sort
    finally:
        connection.request("DELETE", "/_pit", msgspec.json.encode({"id": pit}))
