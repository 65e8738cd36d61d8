"""Makes a page of a report. Pure."""

from __future__ import annotations

import msgspec

from streaming import decoding
from streaming.reports import operations, sections, shown
from streaming.reports.model import Report, Tally
from streaming.reports.page import Cell, Figure, Page
from streaming.reports.period import local_text


def page_of(report: Report) -> Page:
    """All that a report shows."""
    found = [
        sections.correction(report),
        sections.errors_over_time(report),
        sections.services(report),
        sections.templates(report),
        sections.nodes_with_errors(report),
        operations.incidents(report),
        operations.availability(report),
        operations.pipeline(report),
        sections.volume(report),
    ]
    page = Page(
        title=title(report),
        subtitle=subtitle(report),
        notes=report.notes,
        figures=figures(report),
        sections=[section for section in found if section is not None],
        footer=footer(report),
    )
    return harmless(page)


def harmless(page: Page) -> Page:
    """A page in which no text changes how the rest is read (`shown.harmless`); whoever makes one ends with this."""
    return decoding.converted(_harmless(msgspec.to_builtins(page)), Page)


def _harmless(value: object) -> object:
    """All texts of it: whoever makes a section cannot forget one."""
    if isinstance(value, str):
        return shown.harmless(value)
    if isinstance(value, dict):
        return {name: one if name == "svg" else _harmless(one) for name, one in value.items()}
    return [_harmless(one) for one in value] if isinstance(value, list | tuple) else value


def title(report: Report) -> str:
    """`Error report: Wednesday, 25 November 2026`."""
    return f"Error report: {report.period.title}"


def subtitle(report: Report) -> str:
    """From when to when."""
    period = report.period
    begin, end = (local_text(at_ms, period.zone) for at_ms in (period.start_ms, period.end_ms))
    unusual = "" if period.hours in (24, 168) else f", {period.hours:g} hours"
    return f"{begin} to {end}{unusual}"


def figures(report: Report) -> list[Figure]:
    """What is seen first."""
    now, incidents, nodes, audits = report.total.now, report.incidents, report.nodes, report.pipeline
    return [
        Figure("Errors", shown.whole(now.errors), _compared(report, "errors")),
        Figure("Error ratio", shown.share(now.ratio), _ratios(report)),
        Figure("Logs", shown.whole(now.documents), _compared(report, "documents")),
        Figure(
            "Incidents",
            shown.whole(incidents.opened),
            [
                Cell(f"{incidents.opened - incidents.resolved:,} still open at the cut-off")
                if incidents.opened > incidents.resolved
                else Cell("none still open"),
                *_after("acknowledged", incidents.to_acknowledge.count, incidents.to_acknowledge.median_ms),
                *_after("resolved", incidents.to_resolve.count, incidents.to_resolve.median_ms),
            ],
        ),
        Figure(
            "Nodes available",
            shown.share(nodes.availability),
            [Cell(f"{nodes.always_up:,} of {nodes.total:,} up all the time")] if nodes.total else [Cell("no nodes")],
        ),
        Figure(
            "Lost",
            shown.whole(audits.lost) if audits.audits else "unknown",
            [
                Cell(shown.many(audits.audits, "audit") if audits.audits else "no audit in this period"),
                Cell(shown.many(sum(audits.dead_letters.values()), "dead letter")),
            ],
        ),
    ]


def footer(report: Report) -> list[str]:
    """How it was counted."""
    period = report.period
    built = local_text(report.built_ms, period.zone)
    looked = f" It was last built anew {local_text(report.shown_ms, period.zone)}." if report.correction else ""
    lines = [
        f"Times are those of {period.zone}. A log belongs to the time at which it was written (@timestamp) and is "
        f"counted if it was received (event.created) before {local_text(period.cutoff_ms, period.zone)}.",
        f"Counted {built}.{looked} Whenever this report is built again, these numbers stay; what came later is shown "
        "as a correction. Errors are logs of level ERROR and FATAL; Vigil's own canaries are left out.",
    ]
    if report.elsewhere:
        lines.append(
            f"{report.elsewhere:,} logs that were received in this period bear a time outside of it: they came late, "
            "were replayed from old files, or their clocks are wrong."
        )
    return lines


def _compared(report: Report, what: str) -> list[Cell]:
    def of(tally: Tally | None) -> int | None:
        return None if tally is None else (tally.errors if what == "errors" else tally.documents)

    total, now = report.total, of(report.total.now) or 0
    beside = [(sections.before_name(report), of(total.before))]
    if (name := sections.week_ago_name(report)) is not None:
        beside.append((name, of(total.week_ago)))
    return [
        Cell(f"{shown.change(now, then)} vs {name}", tone=shown.tone(now, then) if what == "errors" else "")
        for name, then in beside
        if then is not None
    ] or [Cell("nothing to compare with")]


def _ratios(report: Report) -> list[Cell]:
    total = report.total
    beside = [(sections.before_name(report), total.before)]
    if (name := sections.week_ago_name(report)) is not None:
        beside.append((name, total.week_ago))
    return [
        Cell(f"{shown.ratio_change(total.now, then)} vs {name}", tone=shown.tone(total.now.ratio, then.ratio))
        for name, then in beside
        if then is not None and then.ratio is not None and total.now.ratio is not None
    ]


def _after(what: str, count: int, median_ms: int) -> list[Cell]:
    return [Cell(f"{what} after {shown.length(median_ms)} (median)")] if count else []


def summary(report: Report) -> str:
    """A few lines of plain text, for a chat or a mail."""
    found = report
    lines = [f"{title(found)} ({found.period.zone})", ""]
    for figure in figures(found):
        about = "; ".join(cell.text for cell in figure.about)
        lines.append(f"{figure.name}: {figure.value}" + (f" ({about})" if about else ""))
    worst = [line for line in found.services[:3] if line.now.errors]
    if worst:
        named = ", ".join(f"{shown.log_text(w.name) or sections.NO_SERVICE} {w.now.errors:,}" for w in worst)
        lines.append(f"Most errors: {named}")
    if found.templates.new_total:
        lines.append(f"New messages: {found.templates.new_total:,}")
    came = found.correction
    if came is not None and (came.late.documents or came.indexed_late.documents or came.gone.documents):
        more = came.late.documents + came.indexed_late.documents
        lines.append(f"Correction: {more:,} logs came after it was first built, {came.gone.documents:,} were deleted")
    lines += [f"Note: {note}" for note in found.notes]
    return "\n".join(map(shown.harmless, lines)) + "\n"
