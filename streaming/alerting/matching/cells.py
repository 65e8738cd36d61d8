"""Logs that are alike in the fields that have few values, and all that follows from these alone.

Whatever rules ask of level, service, node, logger, error code, method and status is answered once for each
combination of them and remembered: a *cell*. A log then costs one look-up, and only what is asked of its other fields
(the message above all) is evaluated for the log itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple, cast

from streaming.alerting.fields import bounded, canonical_getter, getter, is_label_of_canonical
from streaming.alerting.matching.probes import Probe, Role
from streaming.alerting.matching.texts import Tree, Union, pattern_of
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.new_value import NewValueRule
from streaming.events.canonical import Canonical
from streaming.events.fields import MAX_LONG, MIN_LONG
from streaming.events.model import Level, LogEvent

LEVEL, SERVICE, STATUS, ERROR_CODE = "log.level", "service.name", "http.response.status_code", "error.code"

FEW_VALUES: Final = {
    LEVEL: "log_level",
    SERVICE: "service_name",
    "service.node.name": "node_id",
    "log.logger": "logger",
    "http.request.method": "http_method",
    STATUS: "http_status",
    ERROR_CODE: "",
    "host.name": "",
}
"""Fields that mostly have few values, and where a canonical log has them; error codes lie deeper, hosts it has none."""

ALWAYS: Final = (LEVEL, SERVICE)
"""These are part of every key."""

CELLS_KEPT: Final = 16_384
ANSWERS_KEPT: Final = 250_000
"""A cell takes about 1 KB, and 150 bytes for each rule that it answers for good: 16 and 38 MB. When there are so many
all are forgotten, and made again as logs come."""

TREES_KEPT: Final = 256
"""Sets of rules for which searches were built; each takes some 100 KB with hundreds of rules."""

HELD_FOR_EACH: Final = 150
"""Bytes of an answer, and so many characters of the values of a cell count like one: an error code may be of a record's
whole length."""

WORTH_KEEPING: Final = 8
"""Look-ups for each cell, on average, below which the field with the most values is not worth to be part of them."""

CANONICAL, EVENT = 0, 1
"""The two forms in which a log is evaluated: as decoded from the canonical schema, and as an event."""

Log = Canonical | LogEvent
Read = Callable[[Log], str]
Fits = Callable[[Log], bool]
Values = tuple[str, ...]


@dataclass(eq=False)
class Plan:
    """A probe, with what is left to ask of a log whose cell is known; each in both forms of a log."""

    probe: Probe
    number: int
    known: tuple[tuple[str, TextCondition], ...]
    """Conditions that the cell answers."""
    rest: tuple[tuple[str, TextCondition], ...]
    fits: tuple[Fits, Fits]
    """Whether a log fits the rest."""
    group: tuple[Callable[[Log], Values], Callable[[Log], Values]]
    value: tuple[Read, Read] | None
    """The value that is watched for new ones."""
    scanned: tuple[str, str] | None
    """A field of the rest, and a pattern without which it cannot fit."""
    equal: tuple[str, tuple[str, ...]] | None
    """A field of the rest, and the values of which it must be one."""
    is_decided: bool
    """Whether the cell says all: nothing is left to ask, and group and value lie in it."""


class Pile:
    """Logs that were counted together: how many, when, and the latest of them."""

    __slots__ = (
        "arrivals",
        "first_ms",
        "is_shared",
        "last_ms",
        "last_seq",
        "rank",
        "received_ms",
        "seconds",
        "seq",
        "source",
    )

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.is_shared = False
        """Whether several rules hold it: none of them may add to it."""
        self.seconds: dict[int, int] = {}
        """Logs by the second of their clamped time."""
        self.arrivals: dict[int, int] = {}
        """Logs by the second of their receipt, where somebody asks for it."""
        self.first_ms, self.last_ms, self.received_ms = 1 << 62, -1, -1
        self.last_seq = -1
        """Number of the last log."""
        self.seq = -1
        """Number of the log that is shown, and where it is."""
        self.source: object = None


class Cell:
    """All that the values of the key fields decide."""

    __slots__ = (
        "always",
        "arrives",
        "asks_now",
        "decided",
        "equal",
        "known_shapes",
        "pile",
        "rank",
        "scans",
        "shapes",
        "urgent",
        "values",
    )

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.rank = Level(values[LEVEL]).rank
        self.pile: Pile | None = None
        self.decided: list[tuple[Plan, Values, str]] = []
        """What every log of this cell fits, with its group and value."""
        self.shapes: list[tuple[Plan, Values]] = []
        """The same for those that ask for the fingerprint."""
        self.known_shapes: dict[str, int] = {}
        """Fingerprints that all of these were told, and until when, ms."""
        self.always: list[Plan] = []
        """What has to be asked of every log."""
        self.equal: list[tuple[tuple[Read, Read], dict[str, list[Plan]]]] = []
        """What has to be asked only where a field has a certain value."""
        self.scans: list[tuple[Scan, Tree[Plan]]] = []
        """What has to be asked only where a text holds something."""
        self.asks_now = False
        """Whether something of a log is to be looked at before the texts of others are there."""
        self.arrives = False
        self.urgent = False


NOTHING: Final = Cell({LEVEL: Level.TRACE})
"""Of logs that no rule is about."""

AS_EVENT: Final = Cell({LEVEL: Level.TRACE})
"""Of canonical logs whose event may read otherwise: they are evaluated as events."""


@dataclass(eq=False)
class Scan:
    """One field of the logs, searched for everything that any rule wants to find in it, many logs at once."""

    union: Union
    read: tuple[Read, Read]


class _Open(NamedTuple):
    """What a cell leaves to ask, in the three ways in which it is asked (see `Cell`)."""

    always: list[Plan]
    equal: list[tuple[tuple[Read, Read], dict[str, list[Plan]]]]
    scans: list[tuple[Scan, Tree[Plan]]]


@dataclass
class _Base:
    """What level and service decide: the same for many cells, so that a new one costs little."""

    plain: list[Plan]
    """Plans of which other fields decide nothing."""
    further: list[tuple[Plan, list[tuple[str, TextCondition]]]]
    """The others that may fit, and conditions that are left."""
    open: dict[tuple[int, ...], _Open]
    """What is left to ask where these of `further` fit."""


class Cells:
    """The cells of one choice of rules that are in force. `probes` are those of the rules, in order."""

    def __init__(self, probes: Sequence[Probe], *, without: frozenset[str] = frozenset()) -> None:
        used = {name for probe in probes for name in _fields_of(probe)}
        self.key_fields = tuple(name for name in FEW_VALUES if name in ALWAYS or (name in used and name not in without))
        # A label of a canonical log is not in what it is decoded into.
        self.takes_canonical = not any(map(is_label_of_canonical, used))
        self._plans = [_plan(probe, number, frozenset(self.key_fields)) for number, probe in enumerate(probes)]
        self._by_level, self._by_service = _indexed(self._plans)
        self._readers = tuple(getter(name) for name in self.key_fields)
        self._canonical_readers = tuple(canonical_getter(name) for name in self.key_fields)
        attributes = [FEW_VALUES[name] for name in self.key_fields if FEW_VALUES[name]]
        self.raw_key: Callable[[Canonical], tuple[object, ...]] = attrgetter(*attributes)
        self.reads_error_code = ERROR_CODE in self.key_fields
        self.raw: dict[tuple[object, ...], Cell] = {}
        self._cells: dict[Values, Cell] = {}
        self._bases: dict[tuple[Level, str], _Base] = {}
        self._held = self._cleared_at = 0
        self._trees: dict[tuple[int, ...], Tree[Plan]] = {}
        self.scans = _scans(self._plans)

    def of_event(self, event: LogEvent) -> Cell:
        """The cell of a log."""
        return self._of(tuple([read(event) for read in self._readers]))

    def of_canonical(self, log: Canonical) -> Cell:
        """The same, for logs that were decoded only."""
        key = self.raw_key(log)
        if self.reads_error_code and log.error_details is not None:
            key = (*key, log.error_details.error_code)
        cell = self.raw.get(key)
        if cell is None:
            status = log.http_status
            if not log.service_name or (status is not None and not MIN_LONG <= status <= MAX_LONG):
                cell = AS_EVENT
            else:
                cell = self._of(tuple([read(log) for read in self._canonical_readers]))
            self.raw[key] = cell
            self._held += sum(len(part) for part in key if isinstance(part, str)) // HELD_FOR_EACH
        return cell

    @property
    def is_full(self) -> bool:
        """Whether `clear` is due."""
        return max(len(self.raw), len(self._cells)) >= CELLS_KEPT or self._held >= ANSWERS_KEPT

    def clear(self, evaluated: int) -> str | None:
        """Forgets all cells; so many logs were evaluated by now. Where cells were hardly used again, the name of the
        field that makes them so many."""
        used, made = evaluated - self._cleared_at, len(self._cells)
        values = dict(zip(self.key_fields, map(set, zip(*self._cells, strict=True)), strict=False))
        others = [name for name in values if name not in ALWAYS]
        self.raw.clear()
        self._cells.clear()
        self._bases.clear()
        self._held, self._cleared_at = 0, evaluated
        if not others or used >= WORTH_KEEPING * made:
            return None
        return max(others, key=lambda name: len(values[name]))

    def _of(self, values: Values) -> Cell:
        cell = self._cells.get(values)
        if cell is None:
            cell = self._cells[values] = self._made(dict(zip(self.key_fields, values, strict=True)))
            self._held += len(cell.decided) + sum(map(len, values)) // HELD_FOR_EACH
        return cell

    def _made(self, values: dict[str, str]) -> Cell:
        base = self._base(values)
        further = [plan for plan, conditions in base.further if _hold(conditions, values)]
        if not base.plain and not further:
            return NOTHING
        cell, groups = Cell(values), dict[tuple[str, ...], Values]()
        for plan in (*base.plain, *further):
            if plan.is_decided:
                _decide(cell, plan, groups)
        key = tuple(plan.number for plan in further if not plan.is_decided)
        if key not in base.open:
            base.open[key] = self._open([plan for plan in (*base.plain, *further) if not plan.is_decided])
        cell.always, cell.equal, cell.scans = base.open[key]
        cell.asks_now = bool(cell.always or cell.equal or cell.shapes or cell.urgent)
        return cell

    def _base(self, values: Mapping[str, str]) -> _Base:
        level, service = Level(values[LEVEL]), values[SERVICE]
        base = self._bases.get((level, service))
        if base is None:
            base = self._bases[level, service] = _Base([], [], {})
            named = self._by_service.get((level, service), ())
            for plan in sorted((*self._by_level[level], *named), key=lambda plan: plan.number):
                own = [condition for name, condition in plan.known if name == SERVICE]
                others = [(name, condition) for name, condition in plan.known if name not in ALWAYS]
                others += [(name, condition) for name, condition in plan.known if name == LEVEL]
                if not all(condition.fits(service) for condition in own):
                    continue
                if others:
                    base.further.append((plan, others))
                else:
                    base.plain.append(plan)
        return base

    def _open(self, plans: Sequence[Plan]) -> _Open:
        always: list[Plan] = []
        scanned: dict[str, list[Plan]] = {}
        equal: dict[str, list[Plan]] = {}
        for plan in plans:
            if plan.equal:
                equal.setdefault(plan.equal[0], []).append(plan)
            elif plan.scanned:
                scanned.setdefault(plan.scanned[0], []).append(plan)
            else:
                always.append(plan)
        return _Open(
            always,
            [(_both(name), _by_their_values(of)) for name, of in equal.items()],
            [(self.scans[name], self._tree(of)) for name, of in scanned.items()],
        )

    def _tree(self, plans: list[Plan]) -> Tree[Plan]:
        key = tuple(plan.number for plan in plans)
        if key not in self._trees:
            if len(self._trees) >= TREES_KEPT:
                self._trees.clear()
            self._trees[key] = Tree([(plan.scanned[1], plan) for plan in plans if plan.scanned])
        return self._trees[key]


def _plan(probe: Probe, number: int, key_fields: frozenset[str]) -> Plan:
    known = tuple((name, condition) for name, condition in probe.conditions if name in key_fields)
    rest = tuple((name, condition) for name, condition in probe.conditions if name not in key_fields)
    value = probe.rule.field if isinstance(probe.rule, NewValueRule) else None
    within = {*probe.rule.group_by, *((value,) if value else ())}
    patterns = ((name, pattern_of(condition)) for name, condition in rest)
    return Plan(
        probe,
        number,
        known,
        rest,
        (_all_fit(rest, canonical_getter), _all_fit(rest, getter)),
        (_group(probe.rule.group_by, canonical_getter), _group(probe.rule.group_by, getter)),
        _both(value) if value else None,
        next(((name, pattern) for name, pattern in patterns if pattern), None),
        next(((name, condition.equals) for name, condition in rest if condition.equals), None),
        is_decided=not rest and within <= key_fields,
    )


def _both(name: str) -> tuple[Read, Read]:
    return cast(Read, canonical_getter(name)), cast(Read, getter(name))


def _all_fit(conditions: tuple[tuple[str, TextCondition], ...], how: Callable[[str], object]) -> Fits:
    asked = [(cast(Read, how(name)), condition.fits) for name, condition in conditions]
    return lambda log: all(fits(read(log)) for read, fits in asked)


def _group(names: tuple[str, ...], how: Callable[[str], object]) -> Callable[[Log], Values]:
    readers = [cast(Read, how(name)) for name in names]
    return lambda log: tuple([bounded(read(log)) for read in readers])


def _fields_of(probe: Probe) -> Iterator[str]:
    yield from (name for name, _ in probe.conditions)
    yield from probe.rule.group_by
    if isinstance(probe.rule, NewValueRule):
        yield probe.rule.field


ByLevel = dict[Level, list[Plan]]
ByService = dict[tuple[Level, str], list[Plan]]


def _indexed(plans: Sequence[Plan]) -> tuple[ByLevel, ByService]:
    """Plans by level and by the services that they name; those that name none by level alone."""
    by_level: ByLevel = {level: [] for level in Level}
    by_service: ByService = {}
    for plan in plans:
        named = next((condition.equals for name, condition in plan.known if name == SERVICE and condition.equals), ())
        for level in plan.probe.levels:
            if not named:
                by_level[level].append(plan)
            for service in dict.fromkeys(named):
                by_service.setdefault((level, service), []).append(plan)
    return by_level, by_service


def _hold(conditions: Sequence[tuple[str, TextCondition]], values: Mapping[str, str]) -> bool:
    return all(condition.fits(values[name]) for name, condition in conditions)


def _decide(cell: Cell, plan: Plan, groups: dict[tuple[str, ...], Values]) -> None:
    """A rule that every log of the cell fits; `groups` are those of the cell that were made already."""
    rule, role = plan.probe.rule, plan.probe.role
    group = groups.get(rule.group_by)
    if group is None:
        group = groups[rule.group_by] = tuple([bounded(cell.values[name]) for name in rule.group_by])
    if role is Role.SHOWS_SHAPE:
        cell.shapes.append((plan, group))
        return
    cell.urgent |= role is Role.FIRES
    cell.arrives |= role is Role.ARRIVES
    cell.decided.append((plan, group, bounded(cell.values[rule.field]) if isinstance(rule, NewValueRule) else ""))


def _by_their_values(plans: Sequence[Plan]) -> dict[str, list[Plan]]:
    found: dict[str, list[Plan]] = {}
    for plan in plans:
        assert plan.equal is not None, "these are the plans with such a field"
        for value in dict.fromkeys(plan.equal[1]):
            found.setdefault(value, []).append(plan)
    return found


def _scans(plans: Sequence[Plan]) -> dict[str, Scan]:
    patterns: dict[str, list[str]] = {}
    for plan in plans:
        if plan.scanned and not plan.equal:
            patterns.setdefault(plan.scanned[0], []).append(plan.scanned[1])
    return {name: Scan(Union(of), _both(name)) for name, of in patterns.items()}
