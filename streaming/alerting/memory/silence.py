"""Rules of kind `absence`: when each group last gave a sign, and which of them are silent.

Silence is measured from the receive time of a group's last log to the watermark, so an outage of the pipeline, a
matcher that is away or a backlog is no silence. Signs are held by the parts of the window (`Rule.bucket_ms`, a
sixtieth), rounded up: what is kept changes only so often, and silence is found out that much later at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.incidents.decision import NO_OUTCOME, Kept, Outcome, joined_outcomes
from streaming.alerting.memory.due import Due
from streaming.alerting.memory.records import SILENCE, SilenceRecord, kept, key_of, name_of
from streaming.alerting.memory.telling import candidate, shortened
from streaming.alerting.messages import Candidate, Count, Recovery, Sample
from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.weekly import is_within
from streaming.alerting.text import cut
from streaming.alerting.times import about, at_time, length
from streaming.events.model import Level

MINUTE_MS = 60_000
OTHER = name_of(OTHER_GROUPS)
WORD_LIMIT = 256
"""Characters of names in a sample, as elsewhere (`candidates.SAMPLE_WORD_LIMIT`)."""


@dataclass(slots=True)
class Sign:
    """What is known of one group."""

    group: dict[str, str]
    last_ms: int
    """Its last log, or since when one is expected."""
    seen: bool
    fired: bool = False
    sample: Sample | None = None


class Silence:
    """What one rule holds of each of its groups.

    Bounded: `max_groups` groups, each some 1 KiB. What comes beyond is not watched, which is told once, as group
    `OTHER_GROUPS`, and is over when a group was forgotten and there is room again. Expected groups come first.
    """

    word, kind = SILENCE, SilenceRecord
    """Of its records: the word in their keys, and what they are."""

    def __init__(self, rule: AbsenceRule) -> None:
        self._signs: dict[str, Sign] = {}
        self._fired: set[str] = set()
        self._due = Due()
        self.rule = rule
        self._take(rule)

    def _take(self, rule: AbsenceRule) -> None:
        self.rule = rule
        self._window_ms = round(rule.window * 1000)
        self._forget_ms = round(rule.forget_after * 1000)
        self._expected = {name_of(group): dict(group) for group in rule.expected}
        self._look_whom_to_expect()

    def _look_whom_to_expect(self) -> None:
        self.waits = any(name not in self._signs for name in self._expected)
        """An expected group counts from when every matcher looks for it, which has not been told of yet."""

    def take_rule(self, rule: AbsenceRule, now_ms: int) -> Outcome:
        """The same definition with other expected groups, another title or the like."""
        self._take(rule)
        for name, sign in self._signs.items():
            self._schedule(name, sign)
        unknown = [name for name, sign in self._signs.items() if not sign.seen and name not in self._expected]
        return joined_outcomes(
            [self._forget(name, "it is no longer expected", now_ms) for name in unknown if name != OTHER]
        )

    @property
    def due_ms(self) -> int | None:
        """`progress` has nothing to do before this."""
        return 0 if self.rule.active and self._fired else self._due.next_ms

    def restore(self, name: str, record: SilenceRecord) -> None:
        """Takes a group over."""
        self._put(name, Sign(record.group, record.last_ms, record.seen, record.fired, record.sample))
        self._look_whom_to_expect()

    def drop(self, reason: str, now_ms: int) -> Outcome:
        """The rule is gone: its incidents are over, its records given up."""
        return joined_outcomes([self._forget(name, reason, now_ms) for name in list(self._signs)])

    # ------------------------------------------------------------------------------------------ on arrival

    def count(self, count: Count, watermark_ms: int | None, now_ms: int) -> Outcome:
        """A group gave a sign."""
        name = name_of(count.group)
        sign = self._signs.get(name)
        if name == OTHER or (sign is None and self._is_full()):
            return self._unwatched(count)
        if sign is None:
            sign = Sign(count.group, 0, seen=True)
        last_ms = self._rounded(count.received_ms)
        if sign.last_ms <= self._rounded(now_ms):
            # Else the clock was set back since.
            last_ms = max(last_ms, sign.last_ms)
        back = sign.fired and (watermark_ms is None or watermark_ms - last_ms <= self._window_ms)
        if last_ms == sign.last_ms and sign.seen and not back and name in self._signs:
            return NO_OUTCOME
        reason = f"a log came after {about(count.received_ms - sign.last_ms)}" if sign.seen else "its first log came"
        sign.last_ms, sign.seen = last_ms, True
        sign.sample = sign.sample if count.sample is None else shortened(count.sample)
        if back:
            sign.fired = False
        record = self._put(name, sign)
        over = (self._recovery(sign, reason, count.received_ms),) if back else ()
        return Outcome(over, (record,))

    def _rounded(self, at_ms: int) -> int:
        bucket_ms = self.rule.bucket_ms
        return (at_ms // bucket_ms + 1) * bucket_ms

    def _is_full(self) -> bool:
        return len(self._signs) - (OTHER in self._signs) >= self.rule.max_groups

    def _unwatched(self, count: Count) -> Outcome:
        """There is no room for another group: said once."""
        if OTHER in self._signs:
            return NO_OUTCOME
        sign = Sign(OTHER_GROUPS, count.received_ms, seen=True, fired=True, sample=count.sample)
        message = f"one that is not watched: {', '.join(count.group.values()) or 'the group without values'}"
        told = self._candidate(sign, message, count.received_ms)
        return Outcome((told,), (self._put(OTHER, sign),))

    # ----------------------------------------------------------------------------------------- as time passes

    def expect(self, watermark_ms: int) -> Outcome:
        """From now on every matcher looks for what is expected."""
        self.waits = False
        new = [name for name in self._expected if name not in self._signs]
        signs = [Sign(self._expected[name], self._rounded(watermark_ms), seen=False) for name in new]
        return Outcome(kept=tuple(self._put(name, sign) for name, sign in zip(new, signs, strict=True)))

    def progress(self, watermark_ms: int) -> Outcome:
        """Time has passed: groups are silent, or were for so long that they are forgotten."""
        since_ms = self._in_force_since(watermark_ms)
        if since_ms is None:
            return self._not_in_force(watermark_ms)
        outcomes = [self._passed(name, since_ms, watermark_ms) for name in list(self._due.taken(watermark_ms))]
        return joined_outcomes([*outcomes, *self._room_again(watermark_ms)])

    def _passed(self, name: str, since_ms: int, watermark_ms: int) -> Outcome:
        sign = self._signs[name]
        if name not in self._expected and watermark_ms - sign.last_ms > self._forget_ms:
            reason = f"it was silent for {length(self.rule.forget_after)} and is forgotten"
            return self._forget(name, reason, watermark_ms)
        silent_ms = watermark_ms - max(sign.last_ms, since_ms)
        if sign.fired or silent_ms <= self._window_ms:
            self._schedule(name, sign, at_least_ms=max(sign.last_ms, since_ms) + self._window_ms + 1)
            return NO_OUTCOME
        sign.fired = True
        known = "the last came at" if sign.seen else "none was ever seen, expected since"
        message = f"no log for {length(self.rule.window)}; {known} {at_time(sign.last_ms)}"
        return Outcome((self._candidate(sign, message, watermark_ms),), (self._put(name, sign),))

    def _not_in_force(self, watermark_ms: int) -> Outcome:
        """Nobody looks for its logs at this time of the week."""
        for name in list(self._due.taken(watermark_ms)):
            self._due.at(name, watermark_ms + MINUTE_MS)
        outcomes = []
        for name in sorted(self._fired - {OTHER}):
            sign = self._signs[name]
            sign.fired = False
            over = self._recovery(sign, "its rule is not in force at this time", watermark_ms)
            outcomes.append(Outcome((over,), (self._put(name, sign),)))
        return joined_outcomes(outcomes)

    def _in_force_since(self, watermark_ms: int) -> int | None:
        """Since when, as far back as the window, silence may be counted; None: it may not at this time.

        Weekly times change by the minute, and a window is at most a day: 1,440 looks, only where a rule has such times.
        """
        if not self.rule.active:
            return 0
        if not is_within(self.rule.active, watermark_ms):
            return None
        minute_ms = watermark_ms // MINUTE_MS * MINUTE_MS
        while minute_ms >= watermark_ms - self._window_ms:
            if not is_within(self.rule.active, minute_ms - 1):
                return minute_ms
            minute_ms -= MINUTE_MS
        return 0

    def _room_again(self, watermark_ms: int) -> Iterator[Outcome]:
        if OTHER in self._signs and not self._is_full():
            yield self._forget(OTHER, "there is room for other groups again", watermark_ms)

    # ---------------------------------------------------------------------------------------------- within

    def _put(self, name: str, sign: Sign) -> Kept:
        self._signs[name] = sign
        (self._fired.add if sign.fired else self._fired.discard)(name)
        self._schedule(name, sign)
        record = SilenceRecord(sign.group, sign.last_ms, sign.seen, sign.fired, sign.sample)
        return kept(key_of(self.rule.id, SILENCE, name), record)

    def _schedule(self, name: str, sign: Sign, at_least_ms: int = 0) -> None:
        """When silence alone next has something to do with a group."""
        all_due = []
        if not sign.fired:
            all_due.append(max(sign.last_ms + self._window_ms + 1, at_least_ms))
        if name not in self._expected and name != OTHER:
            all_due.append(sign.last_ms + self._forget_ms + 1)
        self._due.at(name, min(all_due, default=None))

    def _forget(self, name: str, reason: str, at_ms: int) -> Outcome:
        sign = self._signs.pop(name)
        self._fired.discard(name)
        self._due.at(name, None)
        over = (self._recovery(sign, reason, at_ms),) if sign.fired else ()
        return Outcome(over, (kept(key_of(self.rule.id, SILENCE, name), None),))

    def clock_was_set(self, by_ms: int) -> Outcome:
        """The clock was set by so much. Forward, on a machine where all share it: nobody was silent meanwhile."""
        if by_ms < 0:
            return NO_OUTCOME
        records = []
        for name, sign in self._signs.items():
            sign.last_ms += by_ms
            records.append(self._put(name, sign))
        return Outcome(kept=tuple(records))

    def _recovery(self, sign: Sign, reason: str, at_ms: int) -> Recovery:
        return Recovery(rule_id=self.rule.id, group=sign.group, received_ms=at_ms, reason=reason)

    def _candidate(self, sign: Sign, message: str, at_ms: int) -> Candidate:
        known = sign.sample
        sample = Sample(
            timestamp_ms=sign.last_ms,
            level=Level.ERROR,
            message=message,
            service=_name(sign, "service.name", known.service if known else ""),
            node_id=_name(sign, "service.node.name", known.node_id if known else ""),
            received_ms=at_ms,
        )
        facts: dict[str, object] = {
            "window": length(self.rule.window),
            "silent_for": about(at_ms - sign.last_ms) if sign.seen else "",
            "since": at_time(sign.last_ms),
            "last_message": known.message if known else "",
        }
        return candidate(
            self.rule,
            sign.group,
            sample,
            facts,
            count=1,
            first_ms=sign.last_ms,
            last_ms=sign.last_ms,
            received_ms=at_ms,
        )


def _name(sign: Sign, field: str, known: str) -> str:
    return cut(sign.group.get(field, known), WORD_LIMIT)
