"""How what was counted is told to the manager."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from confluent_kafka import Message

from streaming.alerting.candidates import from_log, sample_of
from streaming.alerting.matcher.tally import SHOWN, Counted
from streaming.alerting.matching.cells import Pile
from streaming.alerting.matching.probes import Role
from streaming.alerting.messages import Candidate, Count, Finding, Recovery, Sample, Seen
from streaming.alerting.rules.log_rule import WindowRule
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.new_value import NewTemplateRule
from streaming.alerting.text import one_line
from streaming.events.json_text import clean_text
from streaming.events.model import Level, LogEvent
from streaming.events.parse import parse
from streaming.fingerprint.masking import mask
from streaming.kafka.records import Record, read_record

REASON_LIMIT = 150


class Evaluated(NamedTuple):
    """A log that was evaluated as an event, and where it lies."""

    event: LogEvent
    source: str
    received_ms: int


Source = Evaluated | Message
"""Where a log is read from again, when its sample is made: of thousands that are counted one is shown."""


def as_findings(counted: Iterable[Counted], definitions: Mapping[str, str]) -> list[Finding]:
    """What to tell, in order: what fires and what resolves in the order of their last logs, so that the later one of
    both holds; then counts and values, with the definition of their rule (by its id)."""
    shown = _Shown()
    in_order: list[tuple[int, Finding]] = []
    rest: list[Finding] = []
    for one in counted:
        rule = one.rule
        if isinstance(rule, MatchRule):
            in_order.extend(_match(rule, one, shown))
        elif isinstance(rule, WindowRule):
            rest.append(_count(rule, one, shown, definitions[rule.id]))
        else:
            definition = definitions[rule.id]
            rest.extend(_seen(one, pile, shown, definition) for role, pile in one.piles.items() if role in SHOWN)
    in_order.sort(key=lambda numbered: numbered[0])
    return [*(finding for _, finding in in_order), *rest]


class _Shown:
    """Logs that are shown, each read again once, whatever rules show it."""

    def __init__(self) -> None:
        self._logs: dict[int, Evaluated] = {}
        self._samples: dict[int, Sample] = {}

    def log(self, pile: Pile) -> Evaluated:
        key = pile.seq
        if key not in self._logs:
            self._logs[key] = evaluated(pile.source)
        return self._logs[key]

    def sample(self, pile: Pile) -> Sample:
        key = pile.seq
        if key not in self._samples:
            event, source, received_ms = self.log(pile)
            self._samples[key] = sample_of(event, source=source, received_ms=received_ms)
        return self._samples[key]


def evaluated(source: object) -> Evaluated:
    """A log, read again."""
    if isinstance(source, Evaluated):
        return source
    record = read_record(source)  # type: ignore[arg-type]  # all else that counts as a source is a message
    return read_log(record) or Evaluated(
        # Not reached as long as both ways to read a log agree; alerting must not end by it.
        LogEvent(
            timestamp_ns=record.received_ns, level=Level.ERROR, message=record.value[:2000].decode("utf-8", "replace")
        ),
        record.source,
        record.received_ns // 1_000_000,
    )


def read_log(record: Record) -> Evaluated | None:
    """The log that a record holds; None: it holds none, or cannot be read, and is the indexer's to dead-letter."""
    event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
    if not isinstance(event, LogEvent):
        return None
    return Evaluated(event, clean_text(record.source), record.received_ns // 1_000_000)


def _match(rule: MatchRule, one: Counted, shown: _Shown) -> Iterable[tuple[int, Candidate | Recovery]]:
    fired, resolved = one.piles.get(Role.FIRES), one.piles.get(Role.RESOLVES)
    if fired is not None:
        event, source, received_ms = shown.log(fired)
        candidate = from_log(rule, event, source=source, received_ms=received_ms)
        yield (
            fired.last_seq,
            msgspec.structs.replace(
                candidate, group=one.group, count=_sum(fired.seconds), first_ms=fired.first_ms, last_ms=fired.last_ms
            ),
        )
    if resolved is not None:
        event = shown.log(resolved).event
        yield (
            resolved.last_seq,
            Recovery(
                rule_id=rule.id,
                group=one.group,
                received_ms=resolved.received_ms,
                reason=one_line(f"resolve_when: {event.message}", REASON_LIMIT),
            ),
        )


def _count(rule: WindowRule, one: Counted, shown: _Shown, definition: str) -> Count:
    matching, whole = one.piles.get(Role.COUNTS), one.piles.get(Role.COUNTS_IN_ALL)
    arrived = one.piles.get(Role.ARRIVES)
    counted = matching or arrived
    widest = whole or counted
    assert widest is not None, "what is counted was counted in some way"
    buckets: dict[int, list[int]] = {}
    by_matching = arrived.arrivals if arrived else matching.seconds if matching else {}
    for place, by_second in enumerate((by_matching, whole.seconds if whole else {})):
        for second, count in by_second.items():
            start_ms = second * 1000 // rule.bucket_ms * rule.bucket_ms
            buckets.setdefault(start_ms, [0, 0])[place] += count
    seconds = arrived.arrivals if arrived else widest.seconds
    begin_ms, end_ms = min(seconds) * 1000, max(seconds) * 1000 + 999
    return Count(
        rule_id=rule.id,
        group=one.group,
        buckets=[(start_ms, matched, every) for start_ms, (matched, every) in sorted(buckets.items())],
        first_ms=min(max(widest.first_ms, begin_ms), begin_ms + 999),
        last_ms=max(min(widest.last_ms, end_ms), end_ms - 999),
        received_ms=widest.received_ms,
        sample=shown.sample(counted) if counted else None,
        definition=definition,
    )


def _seen(one: Counted, pile: Pile, shown: _Shown, definition: str) -> Seen:
    event = shown.log(pile).event
    return Seen(
        rule_id=one.rule.id,
        group=one.group,
        value=one.value,
        shown=mask(event.message) if isinstance(one.rule, NewTemplateRule) else one.value,
        count=_sum(pile.seconds),
        first_ms=pile.first_ms,
        last_ms=pile.last_ms,
        received_ms=pile.received_ms,
        sample=shown.sample(pile),
        definition=definition,
    )


def _sum(by_second: dict[int, int]) -> int:
    return sum(by_second.values())
