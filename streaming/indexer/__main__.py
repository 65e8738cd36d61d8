"""`python -m streaming.indexer [--slot N]`: one indexer. Several on one machine need a slot each, for their ports."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from streaming.errors import VigilError
from streaming.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs until TERM or INT. Ends with the error's exit code, and its text in one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m streaming.indexer", description="Logs from Kafka to Elasticsearch")
    parser.add_argument("--slot", type=int, default=0, help="number of this indexer on this machine, from 0")
    slot = parser.parse_args(arguments).slot
    try:
        start(slot)
    except VigilError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def start(slot: int) -> None:
    """Runs an indexer until it is told to stop.

    Raises:
        VigilError: it cannot work; the text says why.
    """
    from streaming.dead_letters.indexing import DeadLetterIndexer
    from streaming.history.indexing import HistoryIndexer
    from streaming.indexer.worker import Indexer
    from streaming.worker.run import run

    settings = load_settings()
    _calm_the_collector()
    name = "indexer" if slot == 0 else f"indexer-{slot}"
    # In one process, since dead letters and events are few and each process costs some 60 MB.
    run(
        name,
        settings,
        [lambda: Indexer(settings), lambda: DeadLetterIndexer(settings), lambda: HistoryIndexer(settings)],
        settings.health_port("indexer", slot),
    )


def _calm_the_collector() -> None:
    """A batch holds 5,000 records for a second, and none of them is part of a cycle.

    By default the cyclic garbage collector walks them every 700 allocations, and each so often all that the process
    has: a tenth of the indexer's CPU. It still comes by, every few batches, for what exceptions leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


if __name__ == "__main__":
    main()
