"""The part of an indexer's process that makes every dead letter a document."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import Message

from streaming.dead_letters import document
from streaming.dead_letters.letters import read_letter
from streaming.dead_letters.sending import Item, settle
from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.elastic.finished import LATE_MS, lift
from streaming.errors import Unavailable
from streaming.indexer.in_hand import InHandIndexer
from streaming.kafka import topics
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.logs import logger

log = logger(__name__)

_DELETED = "document_missing_exception"


class DeadLetterIndexer(InHandIndexer[Item]):
    """Topic `dead-letters` to Elasticsearch, each letter once by its id; offsets are committed behind it.

    At least once: what a crash repeats answers "duplicate".
    """

    name = "dead-letter-indexer"
    what = "dead letters"
    most = 64
    """See `document.ORIGINAL_BYTES`."""

    def __init__(self, settings: Settings, clock_ns: Callable[[], int] = time.time_ns) -> None:
        super().__init__(settings, [settings.topic(topics.DEAD_LETTERS)], clock_ns)

    def _read(self, messages: Sequence[Message]) -> list[Item]:
        now_ns = self._clock_ns()
        items = [self._item(message, now_ns) for message in messages]
        found = [item for item in items if item is not None]
        metrics.DEAD_LETTERS_EXPIRED.inc(len(items) - len(found))
        return found

    def _item(self, message: Message, now_ns: int) -> Item | None:
        """None: it would be deleted at once."""
        letter = read_letter(message)
        index = document.index_of(letter, self._settings.index_prefix, self._settings.retention_days, now_ns)
        if index is None:
            return None
        return Item(
            (letter.topic, letter.partition),
            letter.offset,
            index,
            document.document_id(letter),
            document.encode(document.document(letter, now_ns)),
            document.encode(document.bare_document(letter, now_ns)),
            document.encode(document.place_of(letter)),
        )

    def _settle(self, sent: list[Item], outcomes: list[Outcome] | Whole | None) -> list[Item]:
        if isinstance(outcomes, list):
            verdicts = {outcome.verdict for outcome in outcomes}
            if Verdict.NO_INDEX in verdicts:
                self._make_indices(item.index for item in sent)
            if Verdict.BLOCKED in verdicts:
                self._open(item.index for item in sent)
            self._move([item for item, o in zip(sent, outcomes, strict=True) if o.verdict is Verdict.DUPLICATE])
        return settle(sent, outcomes)

    def _move(self, repeated: list[Item]) -> None:
        """Lets the documents of letters that were written again say where these lie now: after a restore nothing is
        found at the old place. Changes nothing where it is the same.

        Raises:
            Unavailable: not all say it; send the letters again.
        """
        if not repeated:
            return
        answer = bulk.send(self._elastic, [item.moving_line() for item in repeated])
        outcomes = bulk.read_answer(answer, len(repeated), self._attempts)
        if isinstance(outcomes, Whole):
            raise Unavailable(f"Elasticsearch does not take the places of letters: {outcomes.reason}")
        for item, outcome in zip(repeated, outcomes or [], strict=False):
            if outcome.verdict is Verdict.DEAD_LETTER and outcome.reason != _DELETED:
                log.error(
                    "a dead letter's document has an old place",
                    source=item.source,
                    offset=item.offset,
                    why=outcome.reason,
                )
            elif outcome.verdict is Verdict.BLOCKED:
                self._open([item.index])
                raise Unavailable(f"index {item.index} was finished; it is opened for a letter that came late")
            elif outcome.verdict is not Verdict.DONE:
                raise Unavailable(f"Elasticsearch does not take the place of a letter: {outcome.reason}")

    def _open(self, names: Iterable[str]) -> None:
        """Lets indices that roll has finished take letters that came late; a block of anybody else is waited for."""
        opened = lift(self._elastic, set(names), self._clock_ns() // 1_000_000 + LATE_MS)
        metrics.INDICES_OPENED.inc(len(opened))
