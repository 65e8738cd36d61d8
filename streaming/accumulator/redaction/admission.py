"""Puts redaction between the sources and the committer: no chunk reaches the spool that was not redacted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from streaming.accumulator.configuration.plan import Redaction
from streaming.accumulator.redaction.redactor import Redactor, Unredactable
from streaming.accumulator.spool.segment import Arrived
from streaming.forward.frames import FrameError, inflate
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_REDACTED, ACCUMULATOR_REFUSED

log = logger(__name__)

Done = Callable[[bool], None]
Submit = Callable[[Arrived, Done], None]

TAGS_KEPT = 1024
"""Tags whose rules are remembered; senders may make up tags without end."""


class Admission:
    """Takes chunks from any source, in the place of the committer's `submit`. For any thread.

    Rules are those of every redaction that takes the chunk's tag, in the order of the file. A chunk in which they find
    nothing goes on as it came; else its body is rewritten, and uncompressed. One that cannot be read is refused, with
    a line in the log, and never stored.

    Raises:
        ConfigError: a pattern cannot be used.
    """

    def __init__(self, redactions: Sequence[Redaction], submit: Submit, name: str) -> None:
        self._redactions, self._submit, self._name = redactions, submit, name
        for redaction in redactions:
            Redactor(redaction.rules)
        self._redactors: dict[tuple[int, ...], Redactor] = {}
        self._by_tag: dict[str, Redactor | None] = {}

    def submit(self, chunk: Arrived, done: Done) -> None:
        """As the committer's."""
        redactor = self._redactor(chunk.tag)
        if redactor is None:
            self._submit(chunk, done)
            return
        try:
            body = inflate(chunk.body) if chunk.gzip else chunk.body
            redacted, counts = redactor.redact(body)
        except (FrameError, Unredactable) as error:
            ACCUMULATOR_REFUSED.labels(self._name, "not-redactable").inc()
            log.error("chunk refused: it cannot be redacted", tag=chunk.tag, reason=str(error))
            done(False)
            return
        self._count(counts)
        changed = redacted is not body and redacted != body
        self._submit(chunk._replace(body=redacted, gzip=False) if changed else chunk, done)

    def _redactor(self, tag: str) -> Redactor | None:
        try:
            return self._by_tag[tag]
        except KeyError:
            pass
        places = tuple(n for n, r in enumerate(self._redactions) if r.tags.matches(tag))
        found = None
        if places:
            rules = [rule for n in places for rule in self._redactions[n].rules]
            found = self._redactors.get(places) or self._redactors.setdefault(places, Redactor(rules))
        if len(self._by_tag) >= TAGS_KEPT:
            self._by_tag.clear()
        self._by_tag[tag] = found
        return found

    def _count(self, counts: Counter[str]) -> None:
        for rule, found in counts.items():
            ACCUMULATOR_REDACTED.labels(self._name, rule).inc(found)
