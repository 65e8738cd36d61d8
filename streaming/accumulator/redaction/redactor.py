"""Redacts a chunk's body: one scan of its raw bytes for all rules, then a walk of only the entries that it found.

Pure but for the compiled patterns: the same body gives the same result, so a client's resend is still recognised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgpack

from streaming.accumulator.configuration.plan import RedactionRule
from streaming.accumulator.redaction.finders import CardNumber, Finder, finder_of
from streaming.accumulator.redaction.linear_regexp import LinearRegexp, Span
from streaming.accumulator.redaction.rewrite import LEAST_NUMBER, MOST_NUMBER, Rewriter, Rule
from streaming.forward.walk import VALUES_LIMIT, Malformed, Walk, has_too_many_values

WITHHELD = "too-many-values"
"""Counted under this name beside the rules' own."""
NOTE = f"an event of {{}} bytes is withheld: rules of redaction touch it, and it has more than {VALUES_LIMIT} values"


class Unredactable(Exception):
    """The body is no whole msgpack, so that what is in it cannot be told. It must not be stored."""


class Redacted(NamedTuple):
    """`counts`: how often each rule has found something, by its name."""

    body: bytes
    counts: Counter[str]


class Redactor:
    """For one set of rules.

    Raises:
        ConfigError: a pattern cannot be used.
    """

    def __init__(self, rules: Sequence[RedactionRule]) -> None:
        self._rules = tuple(
            Rule(
                rule.name,
                rule.replacement.encode("utf-8", "surrogateescape"),
                tuple(tuple(k.encode("utf-8", "surrogateescape") for k in field) for field in rule.fields),
                finder_of(rule),
            )
            for rule in rules
        )
        hints = [rule.finder.hint for rule in self._rules]
        self._scan = LinearRegexp("|".join(f"(?:{hint})" for hint in hints if hint)) if all(hints) else None
        self._number_rules = [rule.finder for rule in self._rules if isinstance(rule.finder, CardNumber)]

    def redact(self, body: bytes) -> Redacted:
        """An uncompressed body without what the rules find. Its entries keep their number and order.

        Raises:
            Unredactable: it is no whole msgpack.
        """
        hits = self._hits(body) if self._scan else None
        if hits == []:
            return Redacted(body, Counter())
        rewriter = Rewriter(self._rules)
        try:
            return Redacted(b"".join(_rewritten(body, rewriter, hits)), rewriter.counts)
        except Malformed as error:
            raise Unredactable(str(error)) from error

    def _hits(self, body: bytes) -> list[Span]:
        """In order; every text or number in which a rule finds something touches one of these."""
        assert self._scan is not None
        hits = list(self._scan.spans(body))
        numbers = [span for rule in self._number_rules for span in _numbers(body, rule)]
        return sorted(hits + numbers) if numbers else hits


def _numbers(body: bytes, finder: Finder) -> Iterator[Span]:
    """Bytes that would be a number that the finder finds, if a value began there."""
    for first in (b"\xcf", b"\xd3"):
        at = body.find(first)
        while at >= 0:
            value = int.from_bytes(body[at + 1 : at + 9], "big")
            if LEAST_NUMBER <= value < MOST_NUMBER and finder.is_number(value):
                yield at, at + 9
            at = body.find(first, at + 1)


def _rewritten(body: bytes, rewriter: Rewriter, hits: list[Span] | None) -> Iterator[bytes]:
    """The body in pieces. `hits` None: every entry is looked at."""
    copied = next_hit = 0
    for start, end in _entries(body):
        if hits is None:
            yield _one(body, start, end, rewriter, None)
            copied = end
            continue
        while next_hit < len(hits) and hits[next_hit][1] <= start:
            next_hit += 1
        behind = next_hit
        while behind < len(hits) and hits[behind][0] < end:
            behind += 1
        if behind > next_hit:
            yield body[copied:start]
            yield _one(body, start, end, rewriter, hits[next_hit:behind])
            copied = end
    yield body[copied:]


def _one(body: bytes, start: int, end: int, rewriter: Rewriter, hits: list[Span] | None) -> bytes:
    """An entry without what the rules find. One of millions of values, which nothing behind the spool can read either,
    would be walked for a minute while its connection's neighbours wait: a note takes its place."""
    if not has_too_many_values(body, start, end):
        return rewriter.rewrite(body, start, end, hits)
    rewriter.counts[WITHHELD] += 1
    note: bytes = msgpack.packb([0, {"message": NOTE.format(end - start)}])
    return note


def _entries(body: bytes) -> Iterator[Span]:
    """Where each entry begins and ends. Raises Malformed."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(body)
    skip, tell, start = unpacker.skip, unpacker.tell, 0
    while start < len(body):
        try:
            skip()
            end = tell()
        except msgpack.StackError:
            yield from _deep_entries(body, start)
            return
        except (ValueError, msgpack.UnpackException) as error:
            raise Malformed(f"the entry at {start} is no whole msgpack") from error
        yield start, end
        start = end


def _deep_entries(body: bytes, start: int) -> Iterator[Span]:
    """The same from an entry on that is nested too deep for the library."""
    while start < len(body):
        walk = Walk(1, start)
        if not walk.advance(body):
            raise Malformed(f"the entry at {start} is cut off")
        yield start, walk.at
        start = walk.at
