"""The sections of a report about logs: errors over time, by service, node and template; volume and cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.reports import charts, shown
from streaming.reports.model import Line, Report, Tally, TemplateLine, VolumeLine
from streaming.reports.page import Cell, Chart, Section, Table
from streaming.reports.period import Kind

NO_SERVICE = "(no service)"
OTHER_SERVICES = "(other services)"
NO_TEMPLATE = "(shapes that are in no template yet)"

CHARTED = 6
"""Services in a chart."""


def before_name(report: Report) -> str:
    """What the period before is called."""
    return "day before" if report.period.kind is Kind.DAILY else "week before"


def week_ago_name(report: Report) -> str | None:
    """What the other period of comparison is called; None where there is none."""
    if report.period.kind is not Kind.DAILY:
        return None
    return f"last {report.period.day:%A}"


def errors_over_time(report: Report) -> Section:
    """Errors of each hour or day, and how many logs of each level there were."""
    slots = report.slots
    unit = "hour" if report.period.kind is Kind.DAILY else "day"
    busiest = max(slots, key=lambda slot: slot.now.errors, default=None)
    told = f"Errors by {unit}; most, {busiest.now.errors:,}, at {busiest.label}." if busiest else "No logs."
    chart = Chart(
        f"Errors by {unit}",
        charts.columns(
            [slot.label for slot in slots],
            [slot.now.errors for slot in slots],
            [slot.errors_before for slot in slots],
            shown=shown.whole,
            names=("errors", before_name(report)),
        ),
        told,
    )
    logs = Chart(
        f"Logs by {unit}",
        charts.columns(
            [slot.label for slot in slots],
            [slot.now.documents for slot in slots],
            [None] * len(slots),
            shown=_short,
            names=("logs of all levels", ""),
            colour=charts.MAIN,
        ),
        f"All logs by {unit}: {report.total.now.documents:,} together.",
    )
    rows = [
        (
            Cell(line.name),
            _count(line.now.documents),
            _change(line.now.documents, _documents(line.before), is_bad=line.name in ("ERROR", "FATAL", "WARN")),
            *_optional(report, _change(line.now.documents, _documents(line.week_ago), is_bad=False)),
        )
        for line in report.levels
    ]
    table = Table(_compared(report, "level", "logs"), rows, wide=0, caption="Logs by level")
    return Section("time", "Errors over time", charts=[chart, logs], tables=[table] if rows else [])


def services(report: Report) -> Section:
    """Errors by service."""
    named = [line for line in report.services if line.now.errors or line.now.documents or line.before]
    rows = [_service_row(report, line) for line in named]
    if report.other_services.documents:
        rows.append(_service_row(report, Line(name=OTHER_SERVICES, now=report.other_services)))
    about = [] if rows else ["No service logged anything."]
    drawn = [
        (line.name or NO_SERVICE, line.now.errors, None if line.before is None else line.before.errors)
        for line in named[:CHARTED]
        if line.now.errors or (line.before and line.before.errors)
    ]
    pictures = []
    if drawn:
        svg = charts.bars(drawn, shown=shown.whole, names=("errors", before_name(report)))
        pictures = [Chart("Errors by service", svg, f"Most errors: {drawn[0][0]}, {drawn[0][1]:,}.")]
    table = Table(_compared(report, "service", "errors", "error ratio", "logs"), rows)
    return Section("services", "Errors by service", about, pictures, [table] if rows else [])


def nodes_with_errors(report: Report) -> Section:
    """Errors by node."""
    rows = [
        (
            _name(line.name),
            _name(line.service),
            _errors(line),
            _change(line.now.errors, _errors_of(line.before)),
            *_optional(report, _change(line.now.errors, _errors_of(line.week_ago))),
            Cell(shown.share(line.now.ratio), "number"),
        )
        for line in report.nodes_with_errors
    ]
    table = Table(_compared(report, "node", "errors", "error ratio", more_names=("service",)), rows)
    about = [] if rows else ["No node logged an error."]
    return Section("nodes", "Errors by node", about, tables=[table] if rows else [])


def templates(report: Report) -> Section:
    """What the errors were, what was never said before, what is said no more."""
    found = report.templates
    tables, about = [], []
    if found.errors:
        head = ("errors", f"vs {before_name(report)}", *_optional_name(report), "service", "message")
        rows = [
            (
                _count(line.count, tone="bad"),
                _change(line.count, line.before),
                *_optional(report, _change(line.count, line.week_ago)),
                _name(line.service),
                _message(line),
            )
            for line in found.errors
        ]
        tables.append(Table(head, rows, len(head) - 1, _listed("Errors by message", len(rows), found.error_templates)))
    else:
        about.append("There were no errors.")
    if found.new:
        rows = [_template_row(line, line.count) for line in found.new]
        caption = _listed("New: never received before", len(rows), found.new_total)
        tables.append(Table(("logs", "level", "service", "message"), rows, 3, caption))
    else:
        about.append("No message was new.")
    if found.vanished:
        rows = [_template_row(line, line.before or 0) for line in found.vanished]
        caption = _listed(f"Vanished: in the {before_name(report)}, and no more", len(rows), found.vanished_total or 0)
        head = (f"logs, {before_name(report)}", "level", "service", "message")
        tables.append(Table(head, rows, 3, caption))
    elif found.vanished_total is None:
        about.append(f"Of the {before_name(report)} nothing is known, so nothing is known to have vanished.")
    else:
        about.append("No message vanished.")
    return Section("messages", "Messages", about, tables=tables)


def volume(report: Report) -> Section:
    """Who fills the disk."""
    lines = report.volume
    if not lines:
        return Section("volume", "Volume and cost", ["No logs were stored."])
    together = sum(line.bytes for line in lines)
    about = [
        f"{shown.size(together)} in Elasticsearch, copies included: each service's share of the documents of its "
        "indices."
    ]
    priced = report.price_per_gb > 0
    if priced:
        price = shown.money(report.price_per_gb, report.currency)
        about.append(f"At {price} a GB that is {shown.money(sum(_cost(line) for line in lines), report.currency)}.")
    rows = [
        (
            _name(line.service or NO_SERVICE),
            Cell(shown.size(line.bytes), "number"),
            Cell(shown.share(line.bytes / together if together else None), "number"),
            _count(line.documents),
            *((Cell(shown.money(line.cost, report.currency), "number"),) if priced else ()),
        )
        for line in lines
    ]
    drawn: list[charts.Bar] = [(line.service or NO_SERVICE, line.bytes, None) for line in lines[:CHARTED]]
    svg = charts.bars(drawn, shown=shown.size, names=("stored", ""), colour=charts.MAIN)
    head = ("service", "stored", "share", "logs", *(("cost",) if priced else ()))
    told = f"Most: {drawn[0][0]}, {shown.size(drawn[0][1])}."
    return Section("volume", "Volume and cost", about, [Chart("Stored by service", svg, told)], [Table(head, rows)])


def correction(report: Report) -> Section | None:
    """What has come since the report was first built."""
    found = report.correction
    if found is None:
        return None
    about = []
    for tally, what in (
        (found.late, "came after the cut-off"),
        (found.indexed_late, "came before it, and could be found only after this report was first built"),
    ):
        if tally.documents:
            about.append(f"{shown.many(tally.documents, 'log')} ({shown.many(tally.errors, 'error')}) {what}.")
    if found.gone.documents:
        about.append(
            f"{shown.many(found.gone.documents, 'log')} that this report counts can be found no more: deleted since."
        )
    if not about:
        return Section("correction", "Correction", ["Nothing has come since this report was first built."])
    about.append("The numbers of this report are without them.")
    rows = [
        (_name(line.name or NO_SERVICE), _count(line.now.errors), _count(line.now.documents)) for line in found.services
    ]
    table = Table(("service", "errors that came later", "logs that came later"), rows)
    return Section("correction", "Correction", about, tables=[table] if rows else [])


def _service_row(report: Report, line: Line) -> tuple[Cell, ...]:
    return (
        _name(line.name or NO_SERVICE),
        _errors(line),
        _change(line.now.errors, _errors_of(line.before)),
        *_optional(report, _change(line.now.errors, _errors_of(line.week_ago))),
        Cell(shown.share(line.now.ratio), "number"),
        _count(line.now.documents, tone="" if line.now.documents else "bad"),
    )


def _template_row(line: TemplateLine, count: int) -> tuple[Cell, ...]:
    grave = line.level in ("ERROR", "FATAL")
    return _count(count), Cell(line.level, tone="bad" if grave else ""), _name(line.service), _message(line)


def _compared(report: Report, name: str, what: str, *more: str, more_names: Sequence[str] = ()) -> tuple[str, ...]:
    return (name, *more_names, what, f"vs {before_name(report)}", *_optional_name(report), *more)


def _optional_name(report: Report) -> tuple[str, ...]:
    name = week_ago_name(report)
    return () if name is None else (f"vs {name}",)


def _optional(report: Report, cell: Cell) -> tuple[Cell, ...]:
    return () if week_ago_name(report) is None else (cell,)


def _message(line: TemplateLine) -> Cell:
    if not line.template:
        return Cell(NO_TEMPLATE, tone="dim")
    return Cell(shown.log_text(line.text) or shown.NONE, "log")


def _name(text: str) -> Cell:
    return Cell(shown.log_text(text) or shown.NONE, "name")


def _count(number: int, tone: str = "") -> Cell:
    return Cell(shown.whole(number), "number", tone)


def _errors(line: Line) -> Cell:
    return _count(line.now.errors, "bad" if line.now.errors else "dim")


def _change(now: int, before: int | None, *, is_bad: bool = True) -> Cell:
    return Cell(shown.change(now, before), "number", shown.tone(now, before) if is_bad else "")


def _errors_of(tally: Tally | None) -> int | None:
    return None if tally is None else tally.errors


def _documents(tally: Tally | None) -> int | None:
    return None if tally is None else tally.documents


def _listed(caption: str, listed: int, total: int) -> str:
    return f"{caption} (the first {listed} of {total})" if total > listed else caption


def _cost(line: VolumeLine) -> float:
    return line.cost or 0.0


def _short(number: float) -> str:
    """For an axis: `1.5 M`."""
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if number < limit:
            return f"{number / divisor:,.0f}" if not unit else f"{number / divisor:,.3g} {unit}"
    return f"{number / 1e9:,.3g} G"
