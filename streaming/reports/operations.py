"""The sections of a report about operation: incidents, nodes, the pipeline itself. Pure."""

from __future__ import annotations

from streaming.reports import charts, shown
from streaming.reports.model import Lengths, NodeLine, Report
from streaming.reports.page import Cell, Chart, Section, Table
from streaming.reports.period import local_text


def incidents(report: Report) -> Section:
    """Incidents that were opened, and who was noisy."""
    found, about = report.incidents, _kept_since(report, report.incidents.known_since_ms, "incidents")
    if not found.opened:
        return Section("incidents", "Incidents", [*about, "No incident was opened."])
    severities = ", ".join(f"{count:,} {severity}" for severity, count in found.by_severity.items())
    again = f", {found.reopened:,} reopened" if found.reopened else ""
    still = found.opened - found.resolved
    about += [
        f"{found.opened:,} opened ({severities}){again}. By the cut-off {found.acknowledged:,} had been acknowledged, "
        f"{found.resolved:,} resolved; still open: {still:,}.",
        f"Time to acknowledge: {_lengths(found.to_acknowledge)}. Time to resolve: {_lengths(found.to_resolve)}.",
    ]
    rules = [
        (
            Cell(shown.log_text(line.rule_id)),
            _number(line.opened),
            _number(line.reopened),
            _number(line.acknowledged),
            _number(line.logs),
        )
        for line in found.rules
    ]
    worst = [
        (
            Cell(line.severity, tone="bad" if line.severity in ("critical", "error") else ""),
            Cell(local_text(line.opened_ms, report.period.zone, "%a %H:%M").split(" (")[0]),
            Cell(_after(line.opened_ms, line.acknowledged_ms, "not"), "number"),
            Cell(_after(line.opened_ms, line.resolved_ms, "still open"), "number"),
            _number(line.count),
            Cell(shown.log_text(line.title), "log"),
        )
        for line in found.worst
    ]
    return Section(
        "incidents",
        "Incidents",
        about,
        tables=[
            Table(("rule", "opened", "reopened", "acknowledged", "logs"), rules, caption="Noisiest rules"),
            Table(
                ("severity", "opened", "acknowledged after", "resolved after", "logs", "incident"),
                worst,
                5,
                f"The gravest {len(worst)} of {found.opened}" if found.opened > len(worst) else "All incidents",
            ),
        ],
    )


def availability(report: Report) -> Section:
    """How long nodes were up."""
    found, about = report.nodes, _kept_since(report, report.nodes.known_since_ms, "changes of nodes")
    if not found.total:
        return Section("availability", "Availability of nodes", [*about, "There were no nodes."])
    about.append(
        f"{shown.many(found.total, 'node')}, up {shown.share(found.availability)} of the time that is known; "
        f"{found.always_up:,} were up all the time. Maintenance and shutdowns that were announced do not count."
    )
    rows = [
        (
            Cell(shown.log_text(line.node_id), "name"),
            Cell(shown.log_text(line.service), "name"),
            Cell(shown.share(line.availability), "number", "bad"),
            Cell(shown.length(line.down_ms), "number"),
            _number(line.outages),
            Cell(_other(line)),
        )
        for line in found.worst
    ]
    table = Table(("node", "service", "available", "down", "outages", "besides"), rows)
    return Section("availability", "Availability of nodes", about, tables=[table] if rows else [])


def pipeline(report: Report) -> Section:
    """Whether the pipeline lost anything, and how fast it was."""
    found, about, pictures = report.pipeline, [], []
    if not found.audits:
        about.append("There was no audit in this period, so nothing is known of losses and latency.")
    else:
        lost = f"{shown.many(found.lost, 'event')} lost" if found.lost else "nothing was lost"
        failed = f", {found.failed:,} of them with a complaint" if found.failed else ""
        about.append(f"{shown.many(found.audits, 'audit')}{failed}: {found.reconciled:,} records reconciled, {lost}.")
    if found.latency:
        pictures.append(_latency(report))
    if found.findings:
        about += [shown.log_text(finding) for finding in found.findings]
    letters = sum(found.dead_letters.values())
    rows = [(Cell(shown.log_text(reason)), _number(count)) for reason, count in found.dead_letters.items()]
    about.append(f"Dead letters: {letters:,}; they are kept, and can be replayed." if letters else "No dead letters.")
    table = Table(("reason", "dead letters"), rows)
    return Section("pipeline", "Pipeline", about, pictures, [table] if rows else [])


def _latency(report: Report) -> Chart:
    period, points = report.period, report.pipeline.latency
    slots = period.slots()
    every = max(1, len(slots) // 6)
    svg = charts.lines(
        [(point.at_ms, (point.p50_ms, point.p99_ms)) for point in points],
        ("median", "99th percentile"),
        between=(period.start_ms, period.end_ms),
        labels=[(slot.start_ms, slot.label) for slot in slots[::every] if slot.start_ms > period.start_ms],
        shown=shown.length,
    )
    worst = max(point.p99_ms for point in points)
    return Chart("From log to alert", svg, f"The longest 99th percentile was {shown.length(worst)}.")


def _kept_since(report: Report, since_ms: int | None, what: str) -> list[str]:
    if since_ms is None:
        return []
    since = local_text(since_ms, report.period.zone)
    if since_ms >= report.period.end_ms:
        return [f"Kafka keeps the history of {what} since {since} only: of this period nothing is known."]
    return [f"Kafka keeps the history of {what} since {since} only: what was before is not counted."]


def _lengths(found: Lengths) -> str:
    if not found.count:
        return "none"
    if found.count == 1:
        return shown.length(found.median_ms)
    median, p90, longest = (shown.length(ms) for ms in (found.median_ms, found.p90_ms, found.longest_ms))
    return f"half within {median}, nine in ten within {p90}, at most {longest}"


def _after(opened_ms: int, then_ms: int | None, never: str) -> str:
    return never if then_ms is None else shown.length(max(0, then_ms - opened_ms))


def _other(line: NodeLine) -> str:
    found = [
        f"{shown.length(ms)} {what}"
        for ms, what in ((line.planned_ms, "planned"), (line.unknown_ms, "unknown"))
        if ms >= 1_000
    ]
    return ", ".join(found) or shown.NONE


def _number(number: int) -> Cell:
    return Cell(shown.whole(number), "number")
