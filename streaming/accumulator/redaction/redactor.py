"""Redacts a chunk's body: one scan of its raw bytes for all rules, then a walk of only the entries that it found.

Pure but for the compiled patterns: the same body gives the same result, so a client's resend is still recognised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgpack

from streaming.accumulator.configuration.plan import RedactionRule
from streaming.accumulator.redaction.finders import finder_of
from streaming.accumulator.redaction.rewrite import Rewriter, Rule, Touched
from streaming.accumulator.redaction.scan import Cursor, Either, Scan, places_of_keys
from streaming.forward.walk import VALUES_LIMIT, Malformed, Walk, has_too_many_values
from streaming.linear_regexp import Span

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
        self._everywhere = Scan([rule.finder for rule in self._rules if not rule.fields])
        self._in_fields = Scan([rule.finder for rule in self._rules if rule.fields])
        self._last_keys = {field[-1] for rule in self._rules for field in rule.fields}

    def redact(self, body: bytes) -> Redacted:
        """An uncompressed body without what the rules find. Its entries keep their number and order.

        Raises:
            Unredactable: it is no whole msgpack.
        """
        hits = self._everywhere.hits(body, 0, len(body))
        everywhere = None if hits is None else Cursor(hits)
        keys = Cursor(places_of_keys(body, self._last_keys))
        if everywhere and everywhere.ended and keys.ended:
            return Redacted(body, Counter())
        rewriter = Rewriter(self._rules)
        try:
            return Redacted(self._rewritten(body, rewriter, everywhere, keys), rewriter.counts)
        except Malformed as error:
            raise Unredactable(str(error)) from error

    def _rewritten(self, body: bytes, rewriter: Rewriter, everywhere: Cursor | None, keys: Cursor) -> bytes:
        out = bytearray()
        copied = 0
        for start, end in _entries(body):
            hits = self._hits_within(body, start, end, everywhere, keys)
            if hits is not None and not hits.touches(start, end):
                continue
            out += body[copied:start]
            out += _one(body, start, end, rewriter, hits)
            copied = end
        out += body[copied:]
        return bytes(out)

    def _hits_within(
        self, body: bytes, start: int, end: int, everywhere: Cursor | None, keys: Cursor
    ) -> Touched | None:
        """What concerns an entry; None: all of it may."""
        # What fields a rule is for is known to the walk; here it counts that one of them seems to be there.
        if everywhere is None or not keys.touches(start, end):
            return everywhere
        more = self._in_fields.hits(body, start, end)
        return None if more is None else Either(everywhere, Cursor(more))


def _one(body: bytes, start: int, end: int, rewriter: Rewriter, hits: Touched | None) -> bytes:
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
