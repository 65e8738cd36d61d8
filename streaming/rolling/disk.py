"""How long the disks last: what a day brings, less what retention frees, against the low watermark. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

from streaming.rolling.actions import human_bytes
from streaming.rolling.expiry import Expiry
from streaming.rolling.state import DAY_S, Kind, Node, State

HORIZON_DAYS: Final = 60
"""Further than this nothing is foretold."""

_LEAST_OF_A_DAY_S: Final = 3_600
"""Where there is no full day yet, today says how much comes, after its first hour."""

Group = tuple[Kind, str]
"""Kind and retention class."""


@dataclass(frozen=True)
class Outlook:
    """What the disks are in for. `gone` are indices that are deleted right now; nodes share all alike."""

    state: State
    expiry: Expiry
    measured_days: int
    gone: Set[str] = frozenset()

    def rates(self) -> dict[Group, float] | None:
        """Bytes a day, all copies, as the last full days brought them; as today does where there is no full one.
        None: too early to say."""
        state, days = self.state, defaultdict[int, dict[Group, float]](dict)
        for index in state.indices:
            if state.today - self.measured_days <= index.day <= state.today and index.day == index.last_day:
                group = (index.kind, index.retention_class)
                days[index.day][group] = days[index.day].get(group, 0.0) + index.total_bytes
        today, elapsed_s = days.pop(state.today, {}), state.now_s - state.today * DAY_S
        full = [day for day, sizes in days.items() if any(sizes.values())]
        if full:
            return _mean([days[day] for day in full], state.today - min(full))
        if any(today.values()) and elapsed_s >= _LEAST_OF_A_DAY_S:
            return _mean([today], elapsed_s / DAY_S)
        return None

    def days_left(self, node: Node) -> float | None:
        """Until the node reaches the low watermark if it goes on so; 0: it has. None: not within `HORIZON_DAYS`, or not
        known."""
        least, nodes = self.state.watermark.free_bytes(node.total), max(1, len(self.state.nodes))
        if least is None:
            return None
        freed = self._freed()
        available = node.available + freed[0] / nodes
        if available <= least:
            return 0.0
        rates = self.rates()
        if rates is None:
            return None
        a_day = sum(rates.values()) / nodes
        for day in range(1, HORIZON_DAYS + 1):
            if available - a_day <= least:
                return day - 1 + (available - least) / a_day
            available += (freed[day] + self._freed_of_what_comes(rates, day)) / nodes - a_day
        return None

    def _freed(self) -> defaultdict[int, float]:
        """By day from today: what of that which is there expires. What is due and stays may have been refused."""
        freed: defaultdict[int, float] = defaultdict(float)
        for index in self.state.indices:
            on = self.expiry.on(index)
            if index.index in self.gone:
                freed[0] += index.total_bytes
            elif on is not None and on > self.state.today and not index.is_foreign_blocked:
                freed[on - self.state.today] += index.total_bytes
        return freed

    def _freed_of_what_comes(self, rates: dict[Group, float], day: int) -> float:
        """Of a class that is kept for 3 days, what comes on day 1 expires on day 5."""
        kept = {group: self.expiry.days(*group) for group in rates}
        return sum(rate for group, rate in rates.items() if (days := kept[group]) is not None and day > days + 1)

    def line(self, node: Node) -> str:
        """How a node stands, for a person."""
        least, rates, left = self.state.watermark.free_bytes(node.total), self.rates(), self.days_left(node)
        mark = f", low watermark at {human_bytes(least)} free" if least is not None else ""
        pace = "what a day brings is not known yet"
        if rates is not None:
            pace = f"{human_bytes(sum(rates.values()))} a day: {_left(left)}, with what expires meanwhile"
        return f"{node.name}: {human_bytes(node.available)} of {human_bytes(node.total)} free{mark}; {pace}"

    def warnings(self, within_days: float) -> Iterator[str]:
        """Of nodes that are above the low watermark, or will be within so many days."""
        for node in self.state.nodes:
            left = self.days_left(node)
            if left is not None and left <= within_days:
                what = "is above the low watermark and gets no new shards" if left == 0 else "is filling up"
                yield (
                    f"disk {what}: {self.line(node)}. Keep classes shorter (`retention:` in the rule files, "
                    "VIGIL_RETENTION_DAYS), or give it a larger disk"
                )


def _mean(days: list[dict[Group, float]], count: float) -> dict[Group, float]:
    return {group: sum(sizes.get(group, 0.0) for sizes in days) / count for group in {g for d in days for g in d}}


def _left(days: float | None) -> str:
    if days is None:
        return f"enough for {HORIZON_DAYS} days"
    return "none left" if days == 0 else f"{days:.1f} days left"
