"""`_bulk`: prepared lines out, a decision per item back.

Documents are `create`d under an id of their own, so a request whose outcome is unknown may be sent again: what the
first one did make answers 409 to the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from streaming import decoding
from streaming.elastic.connection import NDJSON, Connection, Response

# Every item has a status, so the answer keeps one entry per item and thereby their order: Elasticsearch leaves
# out objects that a filter emptied. About 27 bytes an item.
PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Elasticsearch refuses 100 MB; it speaks of 5 to 15 MB as a sane size. 5,000 usual documents are 3 MB."""

UNEXPLAINED_LIMIT = 8
"""Attempts after which an item that keeps answering 500 is a dead letter: 0.2 s doubled 8 times is a minute."""

DETAIL_LIMIT = 1000
"""Characters of Elasticsearch's reason that are kept: it may quote the whole document."""


class Verdict(StrEnum):
    """What becomes of one item."""

    DONE = "done"
    DUPLICATE = "duplicate"
    RETRY = "retry"
    NO_INDEX = "no-index"
    """Its index is not there: make it (or find it expired), then try again."""
    BLOCKED = "blocked"
    """Its index takes no writes: finished (then let it take this one), being made anew, or by an operator's hand."""
    DEAD_LETTER = "dead-letter"


class Outcome(NamedTuple):
    """A verdict and why: `reason` is Elasticsearch's error type, `detail` its text."""

    verdict: Verdict
    reason: str = ""
    detail: str = ""


DONE = Outcome(Verdict.DONE)


def decide(status: int, error_type: str, error_reason: str, attempts: int) -> Outcome:
    """What to do about one item that answered so at its `attempts`-th time.

    Retried for ever is what says something of the server, not of the document: busy (429; also a circuit breaker
    and a full disk), a shard that is away (503, 504), a disk's flood stage or missing rights (401, 403), no room for
    another shard. A write block (403) is told apart, since it may be Vigil's own. A 500 is retried
    `UNEXPLAINED_LIMIT` times. All else that is refused is refused because of the document.
    """
    if status in (200, 201):
        return DONE
    detail = error_reason[:DETAIL_LIMIT]
    if status == 409:
        return Outcome(Verdict.DUPLICATE, error_type, detail)
    if status == 404 and error_type == "index_not_found_exception":
        return Outcome(Verdict.NO_INDEX, error_type, detail)
    if status == 403 and error_type == "cluster_block_exception" and WRITE_BLOCK in error_reason:
        return Outcome(Verdict.BLOCKED, error_type, detail)
    if status in _SERVER_SIDE or (error_type == "validation_exception" and "maximum" in error_reason):
        return Outcome(Verdict.RETRY, error_type, detail)
    if status >= 500 and attempts < UNEXPLAINED_LIMIT:
        return Outcome(Verdict.RETRY, error_type, detail)
    return Outcome(Verdict.DEAD_LETTER, error_type or f"status_{status}", detail)


WRITE_BLOCK = "index write (api)"
"""How Elasticsearch calls `index.blocks.write`; a flood stage's block has another name."""

_SERVER_SIDE = frozenset({401, 403, 408, 429, 502, 503, 504})


@dataclass(frozen=True)
class Whole:
    """The request was refused as a whole. `split`: try its halves, one of them may pass (too large, or malformed)."""

    reason: str
    split: bool
    retry_after_s: float | None = None


def with_single_refused(outcomes: list[Outcome] | Whole | None, count: int) -> list[Outcome] | Whole | None:
    """An answer to `count` items as it is, but that a single item whose request was refused is itself refused."""
    if isinstance(outcomes, Whole) and outcomes.split and count == 1:
        return [Outcome(Verdict.DEAD_LETTER, "refused", outcomes.reason)]
    return outcomes


def read_answer(response: Response, count: int, attempts: int) -> list[Outcome] | Whole | None:
    """Outcomes of the `count` items in their order; None: all were made (the usual case, read without decoding)."""
    if response.status != 200:
        # 413: larger than http.max_content_length. 400: a line that cannot be parsed spoils all of them.
        return Whole(response.error(), response.status in (400, 413), response.retry_after_s)
    if response.body.startswith(b'{"errors":false'):
        return None
    try:
        items = _decoder.decode(response.body).items
    except msgspec.DecodeError as error:
        return Whole(f"unexpected answer to _bulk: {error}", split=False)
    if len(items) != count:
        return Whole(f"{len(items)} answers to {count} items", split=False)
    return [
        DONE
        if (item := entry.answer).error is None
        else decide(item.status, item.error.type, item.error.reason or "", attempts)
        for entry in items
    ]


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _Item(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Entry(msgspec.Struct):
    create: _Item | None = None
    update: _Item | None = None
    index: _Item | None = None

    @property
    def answer(self) -> _Item:
        found = self.create or self.update or self.index
        assert found is not None, "nothing else is sent"
        return found


class _Answer(msgspec.Struct):
    errors: bool
    items: list[_Entry] = []


_decoder = decoding.decoder(_Answer)


def create_line(index: str) -> bytes:
    """Beginning of an item of this index; `item` completes it. Made once a day, not once a document."""
    return b'{"create":{"_index":%b,"_id":"' % msgspec.json.encode(index)


def item(line: bytes, document_id: bytes, document: bytes) -> bytes:
    """One item of a request. `document` is JSON in one line, without a new line."""
    return b'%b%b"}}\n%b\n' % (line, document_id, document)


def index_of(item: bytes) -> str:
    """The index of an item that `item` made: names of indices hold no quotation mark."""
    return item.split(b'"', 6)[5].decode()


def update(index: str, document_id: str, fields: bytes) -> bytes:
    """One item that writes `fields` (JSON in one line) into a document that is there."""
    named = msgspec.json.encode({"update": {"_index": index, "_id": document_id, "retry_on_conflict": 3}})
    return b'%b\n{"doc":%b}\n' % (named, fields)


def versioned(index: str, document_id: str, version: int, document: bytes) -> bytes:
    """One item that puts a document in place of one of a lower version, or of none; one of the same or a higher
    version stays, and the answer is 409 (`Verdict.DUPLICATE`)."""
    about = {"_index": index, "_id": document_id, "version": version, "version_type": "external"}
    return b"%b\n%b\n" % (msgspec.json.encode({"index": about}), document)


def send(connection: Connection, items: Sequence[bytes]) -> Response:
    """One request.

    Raises:
        Unavailable: its outcome is unknown; it may be sent again.
    """
    return connection.request("POST", PATH, b"".join(items), NDJSON)


def chunks(sizes: Sequence[int], limit: int = MAX_REQUEST_BYTES) -> Iterator[slice]:
    """Cuts items of these sizes into consecutive requests of at most `limit` bytes, or one item if it is larger."""
    start = total = 0
    for position, size in enumerate(sizes):
        if total and total + size > limit:
            yield slice(start, position)
            start, total = position, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))
