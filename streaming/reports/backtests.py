"""The page of a backtest: what rules would have fired, and how that differs from another set. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.alerting.messages import Severity
from streaming.alerting.rehearsal.summary import FiredIncident, RuleFigures, Summary
from streaming.reports import charts, shown
from streaming.reports.page import Cell, Chart, Figure, Page, Section, Table
from streaming.reports.period import local_text

INCIDENTS_SHOWN = 200
RULES_CHARTED = 12

_TONES = {Severity.CRITICAL: "bad", Severity.ERROR: "bad", Severity.WARNING: "", Severity.INFO: "dim"}


def page_of(summary: Summary, before: Summary | None, zone: str) -> Page:
    """`before`: the same logs by the rule set to compare with; None: there is none."""
    sections = [
        _rules(summary, before),
        None if before is None else _gone(summary, before, zone),
        _incidents(summary, zone),
        _receivers(summary, before),
    ]
    span = f"{local_text(summary.since_ms, zone)} to {local_text(summary.until_ms, zone)}"
    return Page(
        title=f"Backtest of rule set {summary.rules_version}",
        subtitle=span + (f", compared with {before.rules_version}" if before else ""),
        notes=_notes(summary),
        figures=_figures(summary, before),
        sections=[section for section in sections if section is not None],
        footer=[
            f"The live engine over {shown.whole(summary.logs)} logs that were received in this time, read from "
            f"{summary.source}, by the clock of their receipt.",
            "Windows and values begin empty at the begin of the time; after its end time stands still.",
            "Messages are those that alert somebody: opened, reopened, repeated, escalated, resolved; edits are not.",
        ],
    )


def brief(summary: Summary, before: Summary | None) -> str:
    """In a line, for a message."""
    told = sum(summary.interruptions.values())
    text = (
        f"Rule set {summary.rules_version} would have opened {shown.many(len(summary.incidents), 'incident')} and sent "
        f"{shown.many(told, 'message')} over {shown.length(summary.until_ms - summary.since_ms)}"
    )
    if before is None:
        return f"{text}."
    return (
        f"{text}; {before.rules_version} over the same logs: {shown.many(len(before.incidents), 'incident')}, "
        f"{shown.many(sum(before.interruptions.values()), 'message')}."
    )


def _notes(summary: Summary) -> list[str]:
    return [] if summary.logs else ["No log was received in this time, so nothing could fire."]


def _figures(summary: Summary, before: Summary | None) -> list[Figure]:
    told, told_before = (sum(s.interruptions.values()) if s else None for s in (summary, before))
    opened = len(summary.incidents)
    fired = sum(1 for rule in summary.rules if rule.incidents)
    return [
        Figure("Incidents", shown.whole(opened), _compared(opened, len(before.incidents) if before else None)),
        Figure("Messages", shown.whole(told or 0), _compared(told or 0, told_before)),
        Figure("Rules that fired", f"{fired} of {len(summary.rules)}"),
        Figure("Logs", shown.whole(summary.logs)),
    ]


def _compared(now: int, before: int | None) -> list[Cell]:
    return [] if before is None else [Cell(f"{shown.change(now, before)} to the other set")]


def _rules(summary: Summary, before: Summary | None) -> Section:
    others: Mapping[str, RuleFigures] = {rule.rule_id: rule for rule in before.rules} if before else {}
    columns = ("rule", "kind", "incidents", "logs", "messages", *(("messages, other set",) if before else ()))
    rows = []
    for rule in summary.rules:
        other = others.get(rule.rule_id)
        compared = (Cell(shown.whole(other.interruptions) if other else "not in it", "number"),) if before else ()
        rows.append(
            (
                Cell(rule.rule_id, "name"),
                Cell(rule.kind),
                Cell(shown.whole(rule.incidents), "number"),
                Cell(shown.whole(rule.logs), "number"),
                Cell(shown.whole(rule.interruptions), "number"),
                *compared,
            )
        )
    noisy = [rule for rule in summary.rules if rule.interruptions][:RULES_CHARTED]
    chart = Chart(
        "Messages by rule",
        charts.bars(
            [(r.rule_id, r.interruptions, _interruptions(others.get(r.rule_id)) if before else None) for r in noisy],
            shown=shown.whole,
            names=("this set", "other set" if before else ""),
        ),
        f"Most messages: {noisy[0].rule_id}, {noisy[0].interruptions:,}." if noisy else "",
    )
    return Section("rules", "Rules", charts=[chart] if noisy else [], tables=[Table(columns, rows)])


def _interruptions(rule: RuleFigures | None) -> float:
    return 0 if rule is None else rule.interruptions


def _gone(summary: Summary, before: Summary, zone: str) -> Section:
    """Incidents are the same in both where rule and group are."""
    now = {(one.rule_id, tuple(sorted(one.group.items()))) for one in summary.incidents}
    gone = [one for one in before.incidents if (one.rule_id, tuple(sorted(one.group.items()))) not in now]
    about = [f"Incidents of {before.rules_version} that this set does not open: {shown.whole(len(gone))}."]
    return Section("gone", "No longer told", about, tables=[_table(gone, before.until_ms, zone)] if gone else [])


def _incidents(summary: Summary, zone: str) -> Section:
    if not summary.incidents:
        return Section("incidents", "Incidents", ["Nothing would have fired."])
    hidden = len(summary.incidents) - INCIDENTS_SHOWN
    about = [f"The first {INCIDENTS_SHOWN}; {shown.whole(hidden)} more are in backtest.json."] if hidden > 0 else []
    return Section("incidents", "Incidents", about, tables=[_table(summary.incidents, summary.until_ms, zone)])


def _table(incidents: list[FiredIncident] | tuple[FiredIncident, ...], until_ms: int, zone: str) -> Table:
    rows = [
        (
            Cell(local_text(one.opened_ms, zone)),
            Cell(one.severity.value, tone=_TONES[one.severity]),
            Cell(one.rule_id, "name"),
            Cell(shown.whole(one.count), "number"),
            Cell(shown.length((one.resolved_ms or until_ms) - one.opened_ms) + ("" if one.resolved_ms else ", open")),
            Cell(shown.log_text(one.title + (f" ({one.muted_by})" if one.muted_by else "")), "log"),
        )
        for one in incidents[:INCIDENTS_SHOWN]
    ]
    return Table(("opened", "severity", "rule", "logs", "lasted", "title"), rows, wide=5)


def _receivers(summary: Summary, before: Summary | None) -> Section | None:
    names = sorted({*summary.interruptions, *(before.interruptions if before else ())})
    if not names:
        return None
    columns = ("receiver", "messages", *(("messages, other set",) if before else ()))
    rows = [
        (
            Cell(name or "default route", "name"),
            Cell(shown.whole(summary.interruptions.get(name, 0)), "number"),
            *((Cell(shown.whole(before.interruptions.get(name, 0)), "number"),) if before else ()),
        )
        for name in names
    ]
    return Section("receivers", "Receivers", tables=[Table(columns, rows)])
