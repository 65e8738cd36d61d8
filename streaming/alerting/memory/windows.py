"""Rules of kinds `threshold`, `spike` and `error-ratio`: what each group's windows hold, and what follows.

An incident counts every log that lies in a hot window, once. That makes its count the same however the logs were cut
into partial counts and in whatever order those came: after each, all of every hot window is counted, and the set of hot
windows depends on nothing but the logs. It goes on until the last hot window has been left behind for `resolve_after`,
by the watermark.

A log may come late: all its hot windows are over by the watermark. It joins the incident that its time had. Where
that time had none, it fires all the same (and is over with the next progress): once in `LINGER_MS`, so that an
accumulator which brings hours of logs at once does not send as many messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.incidents.decision import NO_OUTCOME, Kept, Outcome
from streaming.alerting.memory.due import Due
from streaming.alerting.memory.judges import CountingRule, judge_of, parts_of
from streaming.alerting.memory.records import WINDOW, WindowRecord, kept, key_of, name_of
from streaming.alerting.memory.series import KEPT_WINDOWS, Series, WindowSum, clusters
from streaming.alerting.memory.telling import candidate, shortened
from streaming.alerting.messages import Candidate, Count, Recovery, Sample
from streaming.alerting.times import length

LINGER_MS = 600_000
"""How long after it was over an incident takes in what is late, and keeps its group's place: as long as it may reopen
(`Policy.reopen_within_ms`), so that no rule has more incidents than `max_groups` in the book."""

Finding = Candidate | Recovery


@dataclass(slots=True)
class Stretch:
    """Hot windows that were found in one go, and what of them nobody had counted."""

    first: int
    last: int
    """First and last hot window."""
    most: WindowSum
    """The one that holds most."""
    untold: int = 0
    begins: int = 0
    ends: int = 0
    """First and last bucket that held some of that."""
    known: bool = False
    """Something of them was counted before: their time has, or had, an incident."""


class Windows:
    """What one rule holds of each of its groups.

    Bounded: `max_groups` groups, and one more, `OTHER_GROUPS`, in which what comes beyond is counted together, until a
    group is forgotten and leaves its place. That one's windows hold at least what any one of these has, so that no
    threshold is missed. A group takes 70 KiB where something matches in every bucket
    (`MOST_BUCKETS`), some 2 KiB where it matches now and then.
    """

    word, kind = WINDOW, WindowRecord
    """Of its records: the word in their keys, and what they are."""

    def __init__(self, rule: CountingRule) -> None:
        self._series: dict[str, Series] = {}
        self._due = Due()
        self.take_rule(rule)

    def take_rule(self, rule: CountingRule) -> None:
        """Takes the rule, or the same definition with another threshold, title or the like. An incident that is open
        is over when its last hot window, as it was judged, has been left behind."""
        self.rule, self._judge, self._parts = rule, judge_of(rule), parts_of(rule)
        self._hold_ms = round((rule.resolve_after or 0.0) * 1000)
        for name in self._series:
            self._due.at(name, 0)

    @property
    def due_ms(self) -> int | None:
        """`progress` has nothing to do before this."""
        return self._due.next_ms

    def restore(self, name: str, record: WindowRecord, watermark_ms: int | None) -> None:
        """Takes a group over."""
        self._series[name] = Series.restored(record)
        self._schedule(name, self._series[name], watermark_ms)

    def clock_was_set(self, watermark_ms: int | None) -> None:
        """The watermark has gone back: what was to be looked at by the old one is looked at by this one."""
        for name, series in self._series.items():
            self._schedule(name, series, watermark_ms)

    def drop(self, reason: str, now_ms: int) -> Outcome:
        """The rule is gone: its incidents are over, its records given up."""
        return Outcome(
            tuple(self._recovery(series, reason, now_ms) for series in self._series.values() if series.firing),
            tuple(kept(key_of(self.rule.id, WINDOW, name), None) for name in self._series),
        )

    # ------------------------------------------------------------------------------------------ on arrival

    def count(self, count: Count, watermark_ms: int | None) -> Outcome:
        """Counts, and fires where a window that holds what just came is hot."""
        name, series = self._of(count)
        now = (count.received_ms if watermark_ms is None else watermark_ms) // self.rule.bucket_ms
        self._prune(series, now)
        touched = self._add(series, count, now)
        stretches = list(self._arrived(series, touched, now, watermark_ms))
        series.prune(now - KEPT_WINDOWS * self._parts)
        findings: list[Finding] = []
        for stretch in stretches:
            findings += self._concluded(series, stretch, count, watermark_ms)
        self._schedule(name, series, watermark_ms)
        return Outcome(tuple(findings), (self._kept(name, series),))

    def _of(self, count: Count) -> tuple[str, Series]:
        name = name_of(count.group)
        if (known := self._series.get(name)) is not None:
            return name, known
        group, other = count.group, name_of(OTHER_GROUPS)
        if len(self._series) - (other in self._series) >= self.rule.max_groups:
            group, name = OTHER_GROUPS, other
        made = Series(group, first_ms=count.received_ms)
        return name, self._series.setdefault(name, made)

    def _prune(self, series: Series, now: int) -> None:
        series.prune(now - KEPT_WINDOWS * self._parts)
        self._judge.prune(series, now)

    def _add(self, series: Series, count: Count, now: int) -> list[int]:
        touched: list[int] = []
        for start_ms, matching, all_ in count.buckets:
            index = start_ms // self.rule.bucket_ms
            series.add(index, matching, all_, now)
            self._judge.take(series, index, matching)
            touched.append(index)
        if not self._judge.only_grows and count.sample is not None:
            series.sample = shortened(count.sample)
        return touched

    def _arrived(self, series: Series, touched: list[int], now: int, watermark_ms: int | None) -> Iterator[Stretch]:
        """The hot windows that hold something of what just came."""
        for first, last in clusters(touched, self._parts):
            ends = last + self._parts - 1
            if not self._judge.only_grows:
                # A window that is not over yet will hold more: of those, only the one that ends with what came.
                ends = max(last, min(ends, now))
            if not self._judge.judges_late and watermark_ms is not None:
                first = max(first, now - self._parts)
            stretch = self._tell(series, first, ends)
            if stretch is not None:
                yield stretch

    def _tell(self, series: Series, first: int, last: int) -> Stretch | None:
        """Finds the hot ones among windows, and marks all that they hold as counted."""
        found: Stretch | None = None
        told_to = first - self._parts
        for window in series.windows(first, last, self._parts, self._judge.least):
            if not self._judge.is_hot(series, window):
                continue
            if found is None:
                found = Stretch(window.last, window.last, window)
            elif window.matching >= found.most.matching:
                found.most = window
            found.last = window.last
            for index in range(max(window.last - self._parts, told_to) + 1, window.last + 1):
                cell = series.cells.get(index)
                if cell is None:
                    continue
                found.known = found.known or cell.told > 0
                if cell.matching > cell.told:
                    found.begins, found.ends = found.begins if found.untold else index, index
                    found.untold += cell.matching - cell.told
                    cell.told = cell.matching
            told_to = window.last
        return found

    # ------------------------------------------------------------------------------------- what follows

    def _concluded(self, series: Series, stretch: Stretch, count: Count, watermark_ms: int | None) -> list[Finding]:
        over_ms = self._left_behind_ms(stretch.last)
        if watermark_ms is not None and over_ms <= watermark_ms:
            return self._late(series, stretch, count, watermark_ms) if stretch.untold else []
        if not stretch.untold and (series.firing or self._judge.only_grows):
            series.hot_to = max(series.hot_to, stretch.last)
            return []
        return self._fire(series, stretch, count)

    def _fire(self, series: Series, stretch: Stretch, count: Count) -> list[Finding]:
        sample = count.sample or series.sample
        if sample is None:
            return []
        series.firing, series.hot_to = True, max(series.hot_to, stretch.last)
        return [self._of_count(series, stretch, sample, count)]

    def _late(self, series: Series, stretch: Stretch, count: Count, watermark_ms: int) -> list[Finding]:
        """What came lies in windows that are over."""
        fired_lately = series.late_ms > 0 and watermark_ms - series.late_ms <= LINGER_MS
        if not series.firing and not stretch.known and not fired_lately:
            series.late_ms = watermark_ms
            found = self._fire(series, stretch, count)
            held_ms = (stretch.last - stretch.first + 1) * self.rule.bucket_ms
            # It went on for as long as its rule asks, and nobody need wait for that now.
            return [_at_once(one) for one in found] if held_ms >= (self.rule.hold_for or 0) * 1000 else found
        lingers = series.recovered_ms > 0 and watermark_ms - series.recovered_ms <= LINGER_MS
        if count.sample is None or not (series.firing or lingers):
            return []
        amends = self._of_count(series, stretch, count.sample, count, late=True)
        if series.firing:
            return [amends]
        # Where the watermark stands still, its incident may be forgotten by now: what then opens is over, too.
        return [amends, self._recovery(series, self._judge.over(), watermark_ms)]

    def _of_count(
        self, series: Series, stretch: Stretch, sample: Sample, count: Count, *, late: bool = False
    ) -> Candidate:
        """Times are those of the logs that just came; of what came before, those of its buckets."""
        first_ms, last_ms = count.first_ms, count.last_ms
        if stretch.untold:
            bucket_ms, indices = self.rule.bucket_ms, [start // self.rule.bucket_ms for start, _, __ in count.buckets]
            if stretch.begins != min(indices):
                first_ms = stretch.begins * bucket_ms
            if stretch.ends != max(indices):
                last_ms = (stretch.ends + 1) * bucket_ms - 1
        return self._candidate(series, stretch, sample, (first_ms, last_ms, count.received_ms), late=late)

    def _candidate(
        self, series: Series, stretch: Stretch, sample: Sample, times: tuple[int, int, int], *, late: bool = False
    ) -> Candidate:
        first_ms, last_ms, received_ms = times
        facts = {"count": stretch.most.matching, "window": length(self.rule.window)}
        return candidate(
            self.rule,
            series.group,
            sample,
            facts | self._judge.facts(series, stretch.most),
            count=stretch.untold,
            first_ms=first_ms,
            last_ms=last_ms,
            received_ms=received_ms,
            late=late,
        )

    def _recovery(self, series: Series, reason: str, at_ms: int) -> Recovery:
        return Recovery(rule_id=self.rule.id, group=series.group, received_ms=at_ms, reason=reason)

    def _left_behind_ms(self, window: int) -> int:
        """When, by the watermark, the window after this one is whole: this one was the last that held."""
        return (window + 2) * self.rule.bucket_ms

    # ----------------------------------------------------------------------------------------- as time passes

    def progress(self, before_ms: int | None, watermark_ms: int) -> Outcome:
        """Time has passed: incidents are over, windows become hot since logs left them, groups are forgotten."""
        findings: list[Finding] = []
        records: list[Kept] = []
        for name in list(self._due.taken(watermark_ms)):
            series = self._series[name]
            was = (series.firing, series.hot_to, series.recovered_ms)
            self._prune(series, watermark_ms // self.rule.bucket_ms)
            findings += self._passed(series, before_ms, watermark_ms)
            if not series.firing and watermark_ms >= self._idle_ms(series):
                del self._series[name]
                records.append(kept(key_of(self.rule.id, WINDOW, name), None))
                continue
            # An incident may open and be over in one look: then only `recovered_ms` tells of it.
            if (series.firing, series.hot_to, series.recovered_ms) != was:
                records.append(self._kept(name, series))
            self._schedule(name, series, watermark_ms)
        return Outcome(tuple(findings), tuple(records)) if findings or records else NO_OUTCOME

    def _passed(self, series: Series, before_ms: int | None, watermark_ms: int) -> list[Finding]:
        findings: list[Finding] = []
        if not self._judge.only_grows and series.cells:
            findings += self._looked_again(series, before_ms, watermark_ms)
        if series.firing and watermark_ms >= self._left_behind_ms(series.hot_to) + self._hold_ms:
            series.firing, series.recovered_ms = False, watermark_ms
            findings.append(self._recovery(series, self._judge.over(), watermark_ms))
        return findings

    def _looked_again(self, series: Series, before_ms: int | None, watermark_ms: int) -> list[Finding]:
        """The windows that have become whole: of one that fires, and where logs that leave may make it fire."""
        if not series.firing and not self._judge.fires_without_logs:
            return []
        bucket_ms = self.rule.bucket_ms
        since = min(series.cells) if before_ms is None else before_ms // bucket_ms
        last = min(watermark_ms // bucket_ms - 1, max(series.cells) + self._parts - 1)
        # A log may say, or a forged header, that it is years old: not every window since then is looked at.
        since = max(since, last - KEPT_WINDOWS * self._parts)
        stretch = self._tell(series, max(since, min(series.cells)), last)
        if stretch is None or series.sample is None:
            return []
        told = stretch.untold or not series.firing
        series.firing, series.hot_to = True, max(series.hot_to, stretch.last)
        begins = stretch.begins if stretch.untold else stretch.first
        times = (begins * bucket_ms, stretch.last * bucket_ms, watermark_ms)
        return [self._candidate(series, stretch, series.sample, times)] if told else []

    # ------------------------------------------------------------------------------------------------- when

    def _schedule(self, name: str, series: Series, watermark_ms: int | None) -> None:
        """When time alone next has something to do with a group."""
        self._due.at(name, 0 if watermark_ms is None else self._next_ms(series, watermark_ms))

    def _next_ms(self, series: Series, watermark_ms: int) -> int:
        looks = not self._judge.only_grows and (series.firing or self._judge.fires_without_logs)
        now = watermark_ms // self.rule.bucket_ms
        if looks and series.cells and max(series.cells) + self._parts >= now:
            return (now + 1) * self.rule.bucket_ms
        if series.firing:
            return self._left_behind_ms(series.hot_to) + self._hold_ms
        return self._idle_ms(series)

    def _idle_ms(self, series: Series) -> int:
        """When a group is forgotten of which nothing comes any more."""
        pruned = series.touched + KEPT_WINDOWS * self._parts + 1
        lingers_ms = series.recovered_ms + LINGER_MS if series.recovered_ms else 0
        bucket_ms = self.rule.bucket_ms
        return max(pruned * bucket_ms, series.touched * bucket_ms + self._judge.idle_ms, lingers_ms)

    def _kept(self, name: str, series: Series) -> Kept:
        return kept(key_of(self.rule.id, WINDOW, name), series.record())


def _at_once(found: Finding) -> Finding:
    return msgspec.structs.replace(found, for_s=0.0) if isinstance(found, Candidate) else found
