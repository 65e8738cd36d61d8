"""The index of task logs: written in bulk, each line once; read line by line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic.connection import NDJSON, Connection
from streaming.elastic.documents import DocumentKind
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import Object
from streaming.errors import Unavailable
from streaming.settings import Settings
from vigil_airflow.task_logs.lines import LineDocument

KEYWORD: Object = {"type": "keyword", "ignore_above": 1024}

KIND = DocumentKind(
    "airflow-logs",
    {
        "@timestamp": {"type": "date"},
        "log_id": {"type": "keyword"},
        "part": KEYWORD,
        "offset": {"type": "long"},
        "message": {"type": "text"},
        "level": KEYWORD,
        "logger": KEYWORD,
        "dag_id": KEYWORD,
        "run_id": KEYWORD,
        "task_id": KEYWORD,
        "map_index": {"type": "integer"},
        "try_number": {"type": "integer"},
    },
)
"""`vigil-airflow-logs-YYYY.MM`, one a month. `line`, the line as it stands in the file, is kept and is no field."""

ANSWER_WITHIN_S = 2.0
"""For one request while a task's slot or the triggerer waits."""

READ_WITHIN_S = 10.0
CHUNK = 500
CHUNK_BYTES = 4 * 1024 * 1024
"""Of a request, which one line may exceed by twice `LINE_LIMIT`; Elasticsearch takes 100 MB."""

PAGE = 1_000
READ_AT_MOST = 100_000
"""Lines of one log that are shown from Elasticsearch."""


class TaskLogIndex:
    """Writes and reads lines. A context manager; for one thread.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not.
    """

    def __init__(self, settings: Settings, timeout_s: float = ANSWER_WITHIN_S) -> None:
        self._prefix = settings.index_prefix
        self._connection = Connection(settings.elastic, timeout_s)

    def __enter__(self) -> TaskLogIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self, lines: Iterable[LineDocument], until: float) -> int | None:
        """Writes them; what is there already stays as it is. None where all are written; else the offset up to which
        they are, since the clock (`time.monotonic`) passed `until`. Written again they are harmless."""
        done = 0
        for chunk in _chunks(lines):
            if time.monotonic() > until:
                return done
            missing = self._bulk(chunk)
            if missing:
                for month in {line.month for line in missing}:
                    self._make(month)
                self._bulk(missing)
            done = chunk[-1].offset
        return None

    def _bulk(self, lines: list[LineDocument]) -> list[LineDocument]:
        """Creates the documents; returns those whose index is not there."""
        parts: list[bytes] = []
        for line in lines:
            action = {"create": {"_index": KIND.index(self._prefix, line.month), "_id": line.document_id}}
            parts += (msgspec.json.encode(action), b"\n", line.body, b"\n")
        path = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
        answer = checked(self._connection.request("POST", path, b"".join(parts), NDJSON), "writing task logs")
        said = decoding.decode(answer.body, _BulkAnswer)
        if not said.errors:
            return []
        results = [item.create for item in said.items]
        for result in results:
            if result.status == 429 or result.status >= 500:
                raise Unavailable(f"Elasticsearch takes no task logs now: {result.error.reason}")
        # 409: it is there. What else is refused (a line that no mapping takes) stays in its file alone.
        return [line for line, result in zip(lines, results, strict=True) if result.status == 404]

    def _make(self, month: str) -> None:
        """The template, then the index: Vigil's indices are never made by a document that comes for them."""
        name = KIND.index(self._prefix)
        template = KIND.template(self._prefix)
        checked(self._connection.json("PUT", f"/_index_template/{name}", template), f"writing template {name}")
        made = self._connection.json("PUT", f"/{KIND.index(self._prefix, month)}")
        if made.error_type != "resource_already_exists_exception":
            checked(made, f"making the index of task logs of {month}")

    def read(self, log_id: str) -> Iterator[str]:
        """The lines of a log as they stood in its files, by time; of one that is very long, `READ_AT_MOST`."""
        index = quote(KIND.index(self._prefix, "*"), safe="*")
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"term": {"log_id": log_id}},
            "sort": ["@timestamp", "part", "offset"],
            "_source": ["line"],
            "track_total_hits": False,
        }
        for _ in range(READ_AT_MOST // PAGE):
            answer = self._connection.json("POST", f"/{index}/_search?ignore_unavailable=true", body)
            hits = decoding.decode(checked(answer, "reading task logs").body, _Found).hits.hits
            yield from (hit.source.line for hit in hits)
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1].sort
        yield f"... Elasticsearch has more lines; {READ_AT_MOST:,} are shown."


def _chunks(lines: Iterable[LineDocument]) -> Iterator[list[LineDocument]]:
    chunk: list[LineDocument] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line.body)
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Error(msgspec.Struct):
    type: str = ""
    reason: str = ""


class _Result(msgspec.Struct):
    status: int = 0
    error: _Error = msgspec.field(default_factory=_Error)


class _Item(msgspec.Struct):
    create: _Result = msgspec.field(default_factory=_Result)


class _BulkAnswer(msgspec.Struct):
    errors: bool = False
    items: list[_Item] = []


class _Source(msgspec.Struct):
    line: str = ""


class _Hit(msgspec.Struct):
    source: _Source = msgspec.field(name="_source", default_factory=_Source)
    sort: list[Any] = []


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Found(msgspec.Struct):
    hits: _Hits = msgspec.field(default_factory=_Hits)
