"""Indices that roll has finished, open for a while: for a replay of dead letters, or anything else that writes late."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from streaming.elastic.connection import Connection
from streaming.elastic.finished import LATE_MS, lift, stay_open
from streaming.errors import VigilError
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

LONGEST_MS = 6 * LATE_MS
"""How long indices stay open whose opener was killed."""

ANSWER_WITHIN_S = 10.0


@contextmanager
def writable(
    settings: Settings, indices: Collection[str], clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
) -> Iterator[list[str]]:
    """Lifts roll's block from these indices (names, aliases, patterns), and yields those that had it.

    They stay open for `LATE_MS` after the end, in which the indexer writes what it has yet to read; then roll blocks
    them again. Blocks of anybody else are left. Where Elasticsearch is away nothing is lifted and nothing fails: the
    indexer opens a finished index by itself when a record for it comes, only a little later.
    """
    connection = Connection(settings.elastic, timeout_s=ANSWER_WITHIN_S)
    try:
        opened: list[str] = []
        try:
            opened = lift(connection, indices, clock_ms() + LONGEST_MS)
        except VigilError as error:
            log.warning("finished indices were not opened", indices=sorted(indices), why=str(error))
        try:
            yield opened
        finally:
            try:
                stay_open(connection, opened, clock_ms() + LATE_MS)
            except VigilError as error:
                log.warning("indices stay open for longer than need be", indices=opened, why=str(error))
    finally:
        connection.close()
