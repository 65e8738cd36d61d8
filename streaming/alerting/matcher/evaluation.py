"""Logs in, findings out: what a matcher does between two transactions, and a backtest with stored logs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from confluent_kafka import Message

from streaming.alerting.fields import bounded
from streaming.alerting.matcher.clamping import EARLIEST_MS, LATEST_MS, clamped_ms
from streaming.alerting.matcher.findings import Source, as_findings, read_log
from streaming.alerting.matcher.tally import SHOWN, Tally
from streaming.alerting.matcher.told import Told, Value, again_ms
from streaming.alerting.matching.cells import AS_EVENT, CANONICAL, EVENT, NOTHING, Cell, Cells, Log, Pile, Plan, Scan
from streaming.alerting.matching.engine import Engine
from streaming.alerting.matching.probes import Role
from streaming.alerting.matching.texts import Tree
from streaming.alerting.messages import Finding
from streaming.alerting.rules.definition import definition_of
from streaming.alerting.rules.new_value import NewRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events import canonical
from streaming.events.model import LogEvent
from streaming.events.times import iso_naive, iso_utc
from streaming.fingerprint.shapes import fingerprint
from streaming.kafka.records import read_record

SHAPES_KEPT: Final = 4_096
"""Fingerprints that a cell knows to be told."""

MOMENTS_KEPT: Final = 8_192
"""Texts of times that are known: to the millisecond, and what may follow (`456Z`). Some 120 bytes each: 1 MB."""


class Arrival:
    """What logs that were received at one time have in common."""

    __slots__ = ("cells", "earliest_ms", "latest_ms", "received_ms", "second")

    def __init__(self, received_ms: int, cells: Cells) -> None:
        self.received_ms, self.cells = received_ms, cells
        self.second = received_ms // 1000
        self.earliest_ms, self.latest_ms = received_ms - LATEST_MS, received_ms + EARLIEST_MS


_NO_ARRIVAL: Final = Arrival(0, Cells(()))
"""Of no log."""


class _Seen(NamedTuple):
    """A log that is being evaluated."""

    cell: Cell
    log: Log
    form: int
    ms: int
    second: int
    """Of the time at which it counts."""
    arrival: Arrival
    seq: int
    source: Source


_Waiting = tuple[Tree[Plan], Cell, Log, int, int, int, Arrival, int, Source]
"""Rules that may want something of a text, and the log as `_Seen` has it; a plain tuple, made for nearly every log."""


class Evaluation:
    """Evaluates logs by one rule set and counts what they lead to, until `findings` are taken and `committed`.

    `now_ms` is the caller's clock, which it sets before it gives logs; times of receipt come with the logs. The same
    logs in the same order, with the same clock and the same moments of committing, give the same findings.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.now_ms = 0
        self._definitions = {rule.id: definition_of(rule) for rule in rules.rules if rule.enabled}
        self._engine = Engine(rules)
        self._told = Told()
        self._tally = Tally(self._told)
        self._telling: list[tuple[Value, int]] = []
        self._gathered: dict[Scan, tuple[list[str], list[_Waiting]]] = {}
        self._moments: dict[str, int] = {}
        self._ends: set[str] = set()
        self._seq = 0

    @property
    def urgent(self) -> bool:
        """Whether something fires, so that its findings should be taken now."""
        return self._tally.urgent

    def __bool__(self) -> bool:
        """Whether there are findings."""
        return bool(self._tally)

    def arrival(self, received_ms: int) -> Arrival:
        """For logs that were received then."""
        return Arrival(received_ms, self._engine.at(received_ms))

    def take(self, records: Sequence[tuple[Message, Arrival]]) -> int:
        """Evaluates the logs that records hold, and says how many these are.

        A log of the canonical schema is evaluated as it is decoded, without an event; what is decided is the same. One
        loop that calls next to nothing of Vigil's own: it runs for every log.
        """
        values = [message.value() or b"" for message, _ in records]
        escaped = b"\\" in b"".join(values)  # one look at all of them costs a tenth of a look at each
        decode, moments, ends, gathered = canonical.decode, self._moments, self._ends, self._gathered
        seq, logs, at = self._seq, 0, _NO_ARRIVAL
        for value, (message, arrival) in zip(values, records, strict=True):
            seq += 1
            if arrival is not at:
                at, cells = arrival, arrival.cells
                raw_key, raw, reads_error_code = cells.raw_key, cells.raw, cells.reads_error_code
                second_of_receipt, received_ms = arrival.second, arrival.received_ms
                earliest_ms, latest_ms = arrival.earliest_ms, arrival.latest_ms
            log = decode(value) if cells.takes_canonical and not (escaped and _is_spelt_otherwise(value)) else None
            if log is None:
                logs += self._parse(message, arrival, seq)
                continue
            key = raw_key(log)
            if reads_error_code and log.error_details is not None:
                key = (*key, log.error_details.error_code)
            cell = raw.get(key)
            if cell is None:
                self._make_room(cells, seq)
                cell = cells.of_canonical(log)
            if cell is NOTHING:
                logs += 1
                continue
            text = log.timestamp
            ms = moments.get(text[:23], -1) if text[23:] in ends else -1
            if ms < 0:
                ms = self._moment(text)
            if ms < 0 or cell is AS_EVENT:
                logs += self._parse(message, arrival, seq)
                continue
            logs += 1
            second = (earliest_ms if ms < earliest_ms else latest_ms if ms > latest_ms else ms) // 1000
            if cell.decided:
                pile = cell.pile or self._tally.pile_of(cell)
                seconds = pile.seconds
                seconds[second] = seconds.get(second, 0) + 1
                if ms < pile.first_ms:
                    pile.first_ms = ms
                if ms > pile.last_ms:
                    pile.last_ms = ms
                if received_ms > pile.received_ms:
                    pile.received_ms = received_ms
                pile.last_seq = pile.seq = seq
                pile.source = message
                if cell.arrives:
                    pile.arrivals[second_of_receipt] = pile.arrivals.get(second_of_receipt, 0) + 1
            for scan, tree in cell.scans:
                texts, waiting = gathered.get(scan) or self._gather(scan)
                texts.append(scan.read[CANONICAL](log))
                waiting.append((tree, cell, log, CANONICAL, ms, second, arrival, seq, message))
            if cell.asks_now:
                self._ask_now(_Seen(cell, log, CANONICAL, ms, second, arrival, seq, message))
        self._seq = seq
        return logs

    def take_event(self, event: LogEvent, arrival: Arrival, source: Source) -> None:
        """Evaluates a log; `source` is what it is shown by."""
        self._seq += 1
        self._take_event(event, arrival, source, self._seq)

    def settle(self) -> None:
        """Searches the texts that were gathered; after each batch of logs."""
        for scan, (texts, waiting) in self._gathered.items():
            for place in scan.union.places(texts):
                tree, cell, log, form, ms, second, arrival, seq, source = waiting[place]
                seen = _Seen(cell, log, form, ms, second, arrival, seq, source)
                for plan in tree.possible(texts[place].encode("utf-8", "replace")):
                    self._ask(plan, seen)
        self._gathered.clear()

    def findings(self) -> list[Finding]:
        """What there is to tell of everything evaluated since `committed` or `clear`, in the order to tell it."""
        self.settle()
        self._tally.fold(self.now_ms)
        counted = list(self._tally.counted())
        self._telling = [
            ((one.rule.id, *one.key), self.now_ms + again_ms(one.rule))
            for one in counted
            if isinstance(one.rule, NewRule) and not SHOWN.isdisjoint(one.piles)
        ]
        return as_findings(counted, self._definitions)

    def committed(self) -> None:
        """The findings were told."""
        for value, until_ms in self._telling:
            self._told.committed(value, until_ms)
        self.clear()

    def clear(self) -> None:
        """The findings were not told, and what they came of will be given again."""
        self._telling = []
        self._gathered.clear()
        self._tally.clear()

    # ------------------------------------------------------------------------------------------- within

    def _parse(self, message: Message, arrival: Arrival, seq: int) -> bool:
        """Evaluates a record by way of an event, if it holds a log."""
        found = read_log(read_record(message))
        if found is None:
            return False
        self._take_event(found.event, arrival, found, seq)
        return True

    def _take_event(self, event: LogEvent, arrival: Arrival, source: Source, seq: int) -> None:
        self._make_room(arrival.cells, seq)
        cell = arrival.cells.of_event(event)
        if cell is NOTHING:
            return
        ms = event.timestamp_ns // 1_000_000
        second = clamped_ms(ms, arrival.received_ms) // 1000
        if cell.decided:
            pile = self._tally.pile_of(cell)
            _count(pile, ms, second, arrival)
            pile.last_seq = pile.seq = seq
            pile.source = source
            if cell.arrives:
                _count_arrival(pile, arrival)
        for scan, tree in cell.scans:
            texts, waiting = self._gathered.get(scan) or self._gather(scan)
            texts.append(scan.read[EVENT](event))
            waiting.append((tree, cell, event, EVENT, ms, second, arrival, seq, source))
        if cell.asks_now:
            self._ask_now(_Seen(cell, event, EVENT, ms, second, arrival, seq, source))

    def _gather(self, scan: Scan) -> tuple[list[str], list[_Waiting]]:
        gathered: tuple[list[str], list[_Waiting]] = ([], [])
        self._gathered[scan] = gathered
        return gathered

    def _ask_now(self, seen: _Seen) -> None:
        """What neither the cell decides nor the texts of other logs are waited for."""
        cell = seen.cell
        if cell.urgent:
            self._tally.urgent = True
        if cell.shapes:
            self._show_shape(seen)
        for plan in cell.always:
            self._ask(plan, seen)
        for read, by_value in cell.equal:
            for plan in by_value.get(read[seen.form](seen.log), ()):
                self._ask(plan, seen)

    def _ask(self, plan: Plan, seen: _Seen) -> None:
        if not plan.fits[seen.form](seen.log):
            return
        role, value = plan.probe.role, ""
        if role in SHOWN:
            value = fingerprint(seen.log.message) if plan.value is None else bounded(plan.value[seen.form](seen.log))
        self._hit(plan, plan.group[seen.form](seen.log), value, seen)
        if role is Role.FIRES:
            self._tally.urgent = True

    def _show_shape(self, seen: _Seen) -> None:
        cell, shape = seen.cell, fingerprint(seen.log.message)
        if cell.known_shapes.get(shape, 0) > self.now_ms:
            return
        for plan, group in cell.shapes:
            self._hit(plan, group, shape, seen)
        known = min(self._told.until((plan.probe.rule.id, group, shape)) for plan, group in cell.shapes)
        if known > self.now_ms:
            if len(cell.known_shapes) >= SHAPES_KEPT:
                cell.known_shapes.clear()
            cell.known_shapes[shape] = known

    def _hit(self, plan: Plan, group: tuple[str, ...], value: str, seen: _Seen) -> None:
        rule, role, arrival = plan.probe.rule, plan.probe.role, seen.arrival
        if role in SHOWN and (not value or self._told.until((rule.id, group, value)) > self.now_ms):
            return  # a log without the field has no value of it
        pile = self._tally.pile(rule, role, group, value, seen.cell.rank)
        if role is Role.ARRIVES:
            _count_arrival(pile, arrival)
        _count(pile, seen.ms, seen.second, arrival)
        pile.last_seq = max(pile.last_seq, seen.seq)
        if (seen.cell.rank, seen.seq) >= (pile.rank, pile.seq):
            pile.rank, pile.seq, pile.source = seen.cell.rank, seen.seq, seen.source

    def _moment(self, text: str) -> int:
        """The time of a canonical log, ms; below 0 for one that canonical.py does not read."""
        ns = iso_utc(text)
        if ns is None:
            ns = iso_naive(text)
        if ns is None:
            return -1
        ms = ns // 1_000_000
        if iso_utc(text[:23] + "Z") == ms * 1_000_000 and text[-1] == "Z":
            # Both parts stand for themselves: milliseconds, and digits beyond them.
            if len(self._moments) + len(self._ends) >= MOMENTS_KEPT:
                self._moments.clear()
                self._ends.clear()
            self._moments[text[:23]] = ms
            self._ends.add(text[23:])
        return ms

    def _make_room(self, cells: Cells, seq: int) -> None:
        if cells.is_full:
            self._tally.fold(self.now_ms)
            self._engine.clear(cells, seq)


def _count(pile: Pile, ms: int, second: int, arrival: Arrival) -> None:
    seconds = pile.seconds
    seconds[second] = seconds.get(second, 0) + 1
    if ms < pile.first_ms:
        pile.first_ms = ms
    if ms > pile.last_ms:
        pile.last_ms = ms
    if arrival.received_ms > pile.received_ms:
        pile.received_ms = arrival.received_ms


def _count_arrival(pile: Pile, arrival: Arrival) -> None:
    pile.arrivals[arrival.second] = pile.arrivals.get(arrival.second, 0) + 1


def _is_spelt_otherwise(value: bytes) -> bool:
    """Whether `events.parse` takes it for no canonical log, though it decodes as one."""
    return b'"message_type"' not in value
