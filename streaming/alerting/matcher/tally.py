"""What is counted between two transactions: a flood makes one candidate for each rule and group, with its count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.matcher.told import Told
from streaming.alerting.matching.cells import Cell, Pile, Values
from streaming.alerting.matching.probes import Role
from streaming.alerting.rules.log_rule import LogRule
from streaming.alerting.rules.new_value import NewRule

OTHER_VALUE: Final = "other"
"""What stands for the values of a rule that shows more of them between two commits than it remembers."""

_OTHERS: Final[Values] = ()
_OTHER_KEY: Final = "\0"
"""Beside `_OTHERS`, in place of a value: the group that shares what is beyond a rule's most."""

AT_ONCE: Final = frozenset((Role.FIRES, Role.RESOLVES))
SHOWN: Final = frozenset((Role.SHOWS_VALUE, Role.SHOWS_SHAPE))


class Counted(NamedTuple):
    """Logs of one rule and group, by what they mean for it; `value` where the rule watches for values."""

    rule: LogRule
    key: tuple[Values, str]
    group: dict[str, str]
    value: str
    piles: dict[Role, Pile]


class Tally:
    """Everything counted since the last commit.

    Of a rule that counts at most `max_groups` groups are kept apart, of one that watches for values at most
    `max_values` values; the others are counted together. What fires or resolves is kept apart whatever it is: it is
    committed after the round (`urgent`), and a round is bounded.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._rules: dict[str, LogRule] = {}
        self._counts: dict[str, dict[tuple[Values, str], dict[Role, Pile]]] = {}
        self._touched: list[Cell] = []
        self.urgent = False
        """Whether something fires, so that the commit should not wait."""

    def __bool__(self) -> bool:
        return bool(self._touched or self._counts)

    def pile_of(self, cell: Cell) -> Pile:
        """Where the logs of a cell are counted."""
        if cell.pile is None:
            cell.pile = Pile(cell.rank)
            self._touched.append(cell)
        return cell.pile

    def pile(self, rule: LogRule, role: Role, group: Values, value: str, rank: int) -> Pile:
        """Where the logs of a rule and group are counted."""
        piles = self._piles(rule, role, group, value)
        pile = piles.get(role)
        if pile is None:
            pile = piles[role] = Pile(rank)
        elif pile.is_shared:
            piles[role] = Pile(rank)
            merge(piles[role], pile)
            pile = piles[role]
        return pile

    def fold(self, now_ms: int) -> None:
        """Brings what was counted by cells to the rules."""
        for cell in self._touched:
            whole = cell.pile
            assert whole is not None, "a touched cell has one"
            whole.is_shared = True  # by all rules that find no other logs of the same group
            for plan, group, value in cell.decided:
                rule, role = plan.probe.rule, plan.probe.role
                if role in SHOWN and (not value or self._told.until((rule.id, group, value)) > now_ms):
                    continue
                piles = self._piles(rule, role, group, value)
                if role in piles:
                    merge(self.pile(rule, role, group, value, cell.rank), whole)
                else:
                    piles[role] = whole
            cell.pile = None
        self._touched.clear()

    def _piles(self, rule: LogRule, role: Role, group: Values, value: str) -> dict[Role, Pile]:
        counts = self._counts.get(rule.id)
        if counts is None:
            counts = self._counts[rule.id] = {}
            self._rules[rule.id] = rule
        key = (group, value)
        piles = counts.get(key)
        if piles is not None:
            return piles
        if len(counts) >= _most(rule):
            if role in AT_ONCE:
                self.urgent = True
            else:
                key = (_OTHERS, _OTHER_KEY)
        return counts.setdefault(key, {})

    def counted(self) -> Iterator[Counted]:
        """What there is of each rule and group, after `fold`."""
        for rule_id, counts in self._counts.items():
            rule = self._rules[rule_id]
            for key, piles in counts.items():
                if key == (_OTHERS, _OTHER_KEY):
                    value = OTHER_VALUE if isinstance(rule, NewRule) else ""
                    yield Counted(rule, key, OTHER_GROUPS, value, piles)
                else:
                    values = zip(rule.group_by, key[0], strict=True)
                    yield Counted(rule, key, {name: value for name, value in values if value}, key[1], piles)

    def clear(self) -> None:
        """Starts from nothing."""
        for cell in self._touched:
            cell.pile = None
        self._touched.clear()
        self._counts.clear()
        self._rules.clear()
        self.urgent = False


def merge(into: Pile, more: Pile) -> None:
    """Counts together what was counted apart. The latest of the worst level is the one that is shown."""
    for second, count in more.seconds.items():
        into.seconds[second] = into.seconds.get(second, 0) + count
    for second, count in more.arrivals.items():
        into.arrivals[second] = into.arrivals.get(second, 0) + count
    into.first_ms = min(into.first_ms, more.first_ms)
    into.last_ms = max(into.last_ms, more.last_ms)
    into.received_ms = max(into.received_ms, more.received_ms)
    into.last_seq = max(into.last_seq, more.last_seq)
    if (more.rank, more.seq) >= (into.rank, into.seq) or into.source is None:
        into.rank, into.seq, into.source = more.rank, more.seq, more.source


def _most(rule: LogRule) -> int:
    return max(rule.max_groups, rule.max_values) if isinstance(rule, NewRule) else rule.max_groups
