"""One replay from its preview to what is left: for the command line and for a DAG."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from types import TracebackType

from streaming.dead_letters.candidates import Candidates, FromElasticsearch, FromKafka, Preview
from streaming.dead_letters.finding import DeadLetterSearch, Selection
from streaming.dead_letters.reading import LetterReader
from streaming.dead_letters.receipts import read_receipts
from streaming.dead_letters.replaying import Outcome, Replayer
from streaming.elastic.connection import Connection
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

LOOK_EVERY_S = 0.5

INDEXERS = ((topics.LOGS, "indexer"), (topics.DEAD_LETTERS, "dead-letter-indexer"))
"""What a replayed letter goes through: the one makes a document of it or another dead letter, of which the other makes
one."""


class Round:
    """The letters of a selection, shown, replayed, and looked for afterwards. A context manager.

    Args:
        again: also those that were replayed before.
        from_kafka: look for them in Kafka, which takes longer and needs no Elasticsearch.

    Raises (every method): Unavailable, where Kafka or Elasticsearch does not answer.
    """

    def __init__(
        self, settings: Settings, selection: Selection, *, again: bool = False, from_kafka: bool = False
    ) -> None:
        self._settings, self._selection, self._again = settings, selection, again
        self._reader = LetterReader(settings)
        self._connection = Connection(settings.elastic)
        self._search = DeadLetterSearch(self._connection, settings.index_prefix)
        self._candidates: Candidates = (
            FromKafka(self._reader, selection, read_receipts(settings), again=again)
            if from_kafka
            else FromElasticsearch(self._search, self._reader, selection, again=again)
        )
        self._replayer: Replayer | None = None

    def __enter__(self) -> Round:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with closing(self._connection):
            self._reader.__exit__(None, None, None)

    @property
    def gone(self) -> int:
        """Letters of the last replay that Kafka has no more."""
        return self._candidates.gone

    def preview(self) -> Preview:
        """How many letters would be replayed, by reason, and the first few of them."""
        return self._candidates.preview()

    def replay(self, progress: Callable[[int], None] = lambda _letters: None) -> Outcome:
        """Replays them. `progress` is called after each batch with the letters it took.

        Raises:
            Fenced: another replay was started meanwhile.
        """
        self._replayer = Replayer(self._settings, _now_ms)
        return self._replayer.run(self._candidates.letters(), again=self._again, progress=progress)

    def left(self) -> Counter[str]:
        """Marks the documents of what was replayed; letters of the selection that were not, by reason.

        Raises:
            Refused: Elasticsearch will not answer this. As where it does not answer, the next replay marks them.
        """
        if self._replayer is not None:
            self._replayer.mark(self._search)
        self._search.refresh()
        return self._search.counts(self._selection)

    def came_back(self, since_ms: int) -> Counter[str]:
        """Dead letters since then (milliseconds since the epoch), by reason: what failed again is among them."""
        self._search.refresh()
        return self._search.counts(Selection(since_ms=since_ms))


def await_indexed(settings: Settings, within_s: float) -> bool:
    """Waits until what is in `logs` and `dead-letters` now has been indexed; whether it was, in that time.

    Raises:
        Unavailable: Kafka does not answer.
    """
    deadline = time.monotonic() + within_s
    with RangeReader(settings, "replay") as reader:
        for name, group in INDEXERS:
            topic = settings.topic(name)
            bounds = reader.bounds_of(topic)
            while any(
                max(committed, bounds[partition].start) < bounds[partition].end
                for partition, committed in reader.committed(settings.group(group), topic, list(bounds)).items()
            ):
                if time.monotonic() > deadline:
                    return False
                time.sleep(LOOK_EVERY_S)
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
