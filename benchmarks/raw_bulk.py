"""The ceiling: prepared documents sent to `_bulk` by two threads that do nothing else."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence

from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked, ensure_templates
from streaming.indexer.identity import content_ids
from streaming.settings import Settings

BATCH = 5_000
THREADS = 2
_PATH = "/_bulk?filter_path=errors"


def prepared_requests(index: str, documents: Sequence[bytes], batch: int = BATCH) -> list[bytes]:
    """Bodies of bulk requests as the indexer sends them. Its ids are part of them: they cost Elasticsearch a fifteenth
    of its speed, and are what keeps a repeated record from being a second document."""
    line = bulk.create_line(index)
    items = [
        bulk.item(line, name.encode(), document)
        for name, document in zip(content_ids(documents), documents, strict=True)
    ]
    return [b"".join(items[start : start + batch]) for start in range(0, len(items), batch)]


def documents_per_second(url: str, requests: Sequence[bytes], count: int) -> float:
    """Sends all requests once, `THREADS` at a time.

    Raises:
        RuntimeError: Elasticsearch did not take every document; a ceiling with holes is none.
    """
    waiting = list(reversed(requests))
    failures: list[str] = []
    address = urllib.parse.urlsplit(url)

    def work() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        while not failures:
            try:
                body = waiting.pop()
            except IndexError:
                break
            connection.request("POST", _PATH, body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse().read()
            if not answer.startswith(b'{"errors":false'):
                failures.append(answer[:300].decode("utf-8", "replace"))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the raw bulk run failed: {failures[0]}")
    return count / (time.perf_counter() - started)


@contextlib.contextmanager
def fresh_index(settings: Settings, name: str) -> Iterator[str]:
    """An index with the mapping of logs, for one measurement; deleted after it."""
    index = f"{settings.index_prefix}-logs-{name}-2023.11.14"
    connection = Connection(settings.elastic, timeout_s=60.0)
    try:
        ensure_templates(settings, connection)
        checked(connection.request("PUT", f"/{index}"), f"making {index}")
        yield index
        checked(connection.request("DELETE", f"/{index}"), f"deleting {index}")
    finally:
        connection.close()
