"""One batch on its way: which of its documents are safe, which go again, which are refused. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Message

from streaming.dead_letters import Letter
from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.indexer.prepare import Prepared
from streaming.kafka.offsets import Span


@dataclass(eq=False)
class Batch:
    """Over when no request of it is outstanding; then its dead letters are written, and then its spans finished."""

    prepared: Prepared
    spans: list[Span]
    outstanding: int = 0
    letters: list[Letter] = field(default_factory=list)
    indexed: int = 0
    duplicates: int = 0
    expired: int = 0

    @property
    def reasons(self) -> Counter[str]:
        """Dead letters by reason."""
        return Counter(letter.reason for letter in self.letters)


@dataclass(eq=False)
class Request:
    """Some documents of a batch, by their positions in it; sent `attempts` times so far."""

    batch: Batch
    positions: Sequence[int]
    attempts: int = 0

    @property
    def size(self) -> int:
        """Bytes that it sends."""
        return sum(map(len, self.items()))

    def items(self) -> Sequence[bytes]:
        """The lines to send."""
        items = self.batch.prepared.items
        return items if len(self.positions) == len(items) else [items[p] for p in self.positions]

    def indices(self) -> set[str]:
        """The indices that it writes to."""
        return {bulk.index_of(item) for item in self.items()}

    def message(self, position: int) -> Message:
        """The record behind a document."""
        return self.batch.prepared.documents[position]


class Next(NamedTuple):
    """What follows: requests to send now, one to send later (for `reason`), one whose indices are missing, and one
    whose indices take no writes."""

    now: list[Request]
    later: Request | None = None
    no_index: Request | None = None
    blocked: Request | None = None
    reason: str = ""
    detail: str = ""
    retry_after_s: float | None = None


def start(prepared: Prepared, spans: list[Span]) -> tuple[Batch, list[Request]]:
    """The batch and its first request, of all its documents (none if it holds no documents)."""
    batch = Batch(prepared, spans, letters=list(prepared.letters), expired=prepared.expired)
    requests = [Request(batch, range(len(prepared.items)))] if prepared.items else []
    batch.outstanding = len(requests)
    return batch, requests


def cut(request: Request, limit: int) -> list[Request]:
    """The request, or several in its place that are at most `limit` bytes each, or one document if it is larger."""
    parts = list(bulk.chunks([len(item) for item in request.items()], limit))
    if len(parts) == 1:
        return [request]
    request.batch.outstanding += len(parts) - 1
    return [Request(request.batch, request.positions[part], request.attempts) for part in parts]


def unanswered(request: Request, reason: str) -> Next:
    """The request's outcome is unknown: all of it goes again."""
    return Next([], later=request, reason="unavailable", detail=reason)


def answered(request: Request, answer: list[Outcome] | Whole | None) -> Next:
    """Books what is settled in the batch, and says what follows for the rest."""
    if answer is None:
        request.batch.indexed += len(request.positions)
        return _done(request)
    if isinstance(answer, Whole):
        return _refused(request, answer)
    return _by_item(request, answer)


def index_is_there(request: Request, is_kept: Callable[[str], bool]) -> list[Request]:
    """Missing indices have been made: sends again all but the documents whose index is past retention."""
    kept = {index: is_kept(index) for index in request.indices()}
    keep = [p for p, item in zip(request.positions, request.items(), strict=True) if kept[bulk.index_of(item)]]
    request.batch.expired += len(request.positions) - len(keep)
    if not keep:
        request.batch.outstanding -= 1
        return []
    request.positions = keep
    return [request]


def _done(request: Request) -> Next:
    request.batch.outstanding -= 1
    return Next([])


def _refused(request: Request, whole: Whole) -> Next:
    if not whole.split:
        return Next([], later=request, reason="refused", detail=whole.reason, retry_after_s=whole.retry_after_s)
    if len(request.positions) == 1:
        letter = Letter(request.message(request.positions[0]), "elasticsearch:refused", whole.reason)
        request.batch.letters.append(letter)
        return _done(request)
    half = len(request.positions) // 2
    request.batch.outstanding += 1
    return Next(
        [
            Request(request.batch, request.positions[:half], request.attempts),
            Request(request.batch, request.positions[half:], request.attempts),
        ]
    )


def _by_item(request: Request, outcomes: list[Outcome]) -> Next:
    batch = request.batch
    retry: list[int] = []
    no_index: list[int] = []
    blocked: list[int] = []
    why: Outcome | None = None
    for position, outcome in zip(request.positions, outcomes, strict=True):
        match outcome.verdict:
            case Verdict.DONE:
                batch.indexed += 1
            case Verdict.DUPLICATE:
                batch.duplicates += 1
            case Verdict.RETRY:
                retry.append(position)
                why = why or outcome
            case Verdict.NO_INDEX:
                no_index.append(position)
            case Verdict.BLOCKED:
                blocked.append(position)
                why = why or outcome
            case Verdict.DEAD_LETTER:
                letter = Letter(request.message(position), f"elasticsearch:{outcome.reason}", outcome.detail)
                batch.letters.append(letter)
    later = Request(batch, retry, request.attempts) if retry else None
    missing = Request(batch, no_index, request.attempts) if no_index else None
    shut = Request(batch, blocked, request.attempts) if blocked else None
    batch.outstanding += sum(follows is not None for follows in (later, missing, shut)) - 1
    return Next([], later, missing, shut, why.reason if why else "", why.detail if why else "")
