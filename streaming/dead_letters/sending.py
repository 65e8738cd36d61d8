"""Documents of dead letters on their way to Elasticsearch: what is sent, and what follows from its answers."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.worker import metrics
from streaming.worker.logs import logger

log = logger(__name__)


@dataclass(eq=False)
class Item:
    """A letter on its way: the document, what is sent instead if Elasticsearch refuses that, and what is written into
    the one that is there already. `source`: topic and partition from which it comes."""

    source: tuple[str, int]
    offset: int
    index: str
    document_id: str
    encoded: bytes
    bare: bytes | None
    moved: bytes

    def line(self) -> bytes:
        """As `_bulk` takes it."""
        return bulk.item(bulk.create_line(self.index), self.document_id.encode(), self.encoded)

    def moving_line(self) -> bytes:
        """As `_bulk` takes it, for a document that is there and may say another place."""
        return bulk.update(self.index, self.document_id, self.moved)


def settle(items: list[Item], outcomes: list[Outcome] | Whole | None) -> list[Item]:
    """What is still to be sent, after an answer. An item that is refused goes again bare, and once bare is given up:
    nothing of it may keep the letters behind it from being indexed. Sets no clock and sends nothing."""
    outcomes = bulk.with_single_refused(outcomes, len(items))
    if outcomes is None:
        metrics.DEAD_LETTERS_INDEXED.inc(len(items))
        return []
    if isinstance(outcomes, Whole):
        return items
    left: list[Item] = []
    for item, outcome in zip(items, outcomes, strict=True):
        match outcome.verdict:
            case Verdict.DONE:
                metrics.DEAD_LETTERS_INDEXED.inc()
            case Verdict.DUPLICATE:
                metrics.DEAD_LETTERS_REPEATED.inc()
            case Verdict.RETRY | Verdict.NO_INDEX | Verdict.BLOCKED:
                left.append(item)
            case Verdict.DEAD_LETTER if item.bare is not None:
                item.encoded, item.bare = item.bare, None
                left.append(item)
            case Verdict.DEAD_LETTER:
                metrics.DEAD_LETTERS_REFUSED.inc()
                log.error(
                    "a dead letter has no document",
                    source=item.source,
                    offset=item.offset,
                    why=outcome.reason,
                    detail=outcome.detail,
                )
    return left
