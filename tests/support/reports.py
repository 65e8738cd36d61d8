"""A report of a day on which much happened, for tests of what is shown."""

from __future__ import annotations

import random
from datetime import date

import msgspec

from streaming.reports.model import (
    Correction,
    IncidentLine,
    Incidents,
    LatencyPoint,
    Lengths,
    Line,
    NodeLine,
    Nodes,
    Pipeline,
    Report,
    RuleLine,
    SlotLine,
    Tally,
    TemplateLine,
    Templates,
    VolumeLine,
)
from streaming.reports.period import HOUR_MS, Kind, period_of

SERVICES = ("order", "payment", "inventory", "shipping", "billing", "search", "recommendation-engine", "mail")

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)> & \" ' </td></table>",
    "{{ page.title }} {% raw %} ${7*7} #{7*7}",
    '#panic("typst") *bold* $x^2$ @label \\ `raw` //comment',
    "]]> --> <svg onload=alert(1)>",
    "javascript:alert(1)",
    "\x1b[31mred\x1b[0m \u202eright to left\u202c \0 \ud800 end",
    "a" * 3_000,
    "日本語のメッセージ 🔥 текст مرحبا",
)


def sample_report(kind: Kind = Kind.DAILY, zone: str = "Europe/Berlin", day: date = date(2026, 10, 25)) -> Report:
    """The same at every call."""
    rnd, period = random.Random(7), period_of(kind, day, zone, 1.0)
    slots = [
        SlotLine(
            label=slot.label,
            start_ms=slot.start_ms,
            now=Tally(rnd.randrange(180_000, 230_000), rnd.randrange(20, 90) * (8 if number == 14 else 1)),
            errors_before=rnd.randrange(20, 90),
        )
        for number, slot in enumerate(period.slots())
    ]
    errors = sum(slot.now.errors for slot in slots)
    documents = sum(slot.now.documents for slot in slots)
    opened_ms = period.start_ms + 14 * HOUR_MS
    return Report(
        period=period,
        built_ms=period.cutoff_ms + 600_000,
        shown_ms=period.cutoff_ms + 600_000,
        total=Line(
            name="all", now=Tally(documents, errors), before=Tally(4_812_345, 1_204), week_ago=Tally(9_999, 2_304)
        ),
        levels=[
            Line(name="FATAL", now=Tally(3), before=Tally(0), week_ago=Tally(1)),
            Line(name="ERROR", now=Tally(errors - 3), before=Tally(1_204), week_ago=Tally(2_303)),
            Line(name="WARN", now=Tally(31_022), before=Tally(30_100), week_ago=Tally(25)),
            Line(name="INFO", now=Tally(documents - errors - 31_022), before=Tally(4_781_041), week_ago=Tally(7_670)),
        ],
        slots=slots,
        services=[
            Line(
                name=name,
                now=Tally(900_000 // (place + 1), (errors // 2) >> place),
                before=Tally(880_000, 400 >> place),
                week_ago=Tally(870_000, 0),
            )
            for place, name in enumerate(SERVICES)
        ],
        other_services=Tally(),
        nodes_with_errors=[
            Line(name=f"{name}-{n}", service=name, now=Tally(120_000, 90 - 10 * n), before=Tally(1, 1), week_ago=None)
            for n, name in enumerate(SERVICES[:5])
        ],
        templates=Templates(
            errors=[
                TemplateLine(
                    template=f"t{number}",
                    text=f"connection to <*> refused after <*> ms (attempt {number} of 9): the backend did not answer",
                    example="connection to 10.0.0.1 refused",
                    count=700 >> number,
                    before=300,
                    week_ago=0,
                    level="ERROR",
                    service=SERVICES[number % 8],
                )
                for number in range(9)
            ],
            error_templates=9,
            new=[
                TemplateLine(
                    template="n", text="disk <*> is read-only", example="", count=12, level="FATAL", service="order"
                ),
                TemplateLine(
                    template="m", text="feature flag <*> is on", example="", count=3, level="INFO", service="mail"
                ),
            ],
            new_total=2,
            vanished=[
                TemplateLine(
                    template="v",
                    text="backup of <*> completed",
                    example="",
                    count=0,
                    before=24,
                    level="INFO",
                    service="mail",
                )
            ],
            vanished_total=1,
        ),
        volume=[
            VolumeLine(service=name, documents=900_000 // (n + 1), bytes=180_000_000 // (n + 1), cost=0.18 / (n + 1))
            for n, name in enumerate(SERVICES)
        ],
        price_per_gb=1.0,
        currency="EUR",
        incidents=Incidents(
            opened=7,
            reopened=1,
            acknowledged=4,
            resolved=6,
            by_severity={"critical": 1, "error": 4, "warning": 2},
            to_acknowledge=Lengths(4, 182_000, 640_000, 700_000),
            to_resolve=Lengths(6, 1_320_000, 5_400_000, 7_260_000),
            rules=[
                RuleLine(rule_id="payment-errors", opened=4, reopened=1, acknowledged=3, logs=612),
                RuleLine(rule_id="node-down", opened=3, reopened=0, acknowledged=1, logs=3),
            ],
            worst=[
                IncidentLine(
                    incident_id=f"i{number}",
                    title=f"payment: connection to the bank refused ({number})",
                    rule_id="payment-errors",
                    severity="critical" if not number else "error",
                    opened_ms=opened_ms + number * 1_000_000,
                    count=612 >> number,
                    acknowledged_ms=opened_ms + number * 1_000_000 + 182_000 if number % 2 else None,
                    resolved_ms=opened_ms + number * 1_000_000 + 7_260_000 if number else None,
                )
                for number in range(7)
            ],
        ),
        nodes=Nodes(
            total=50,
            always_up=48,
            availability=0.9987,
            worst=[
                NodeLine(
                    node_id="payment-3",
                    service="payment",
                    up_ms=22 * HOUR_MS,
                    down_ms=2 * HOUR_MS,
                    planned_ms=HOUR_MS,
                    outages=2,
                ),
                NodeLine(node_id="order-1", service="order", up_ms=25 * HOUR_MS - 42_000, down_ms=42_000, outages=1),
            ],
        ),
        pipeline=Pipeline(
            audits=24,
            reconciled=documents,
            latency=[
                LatencyPoint(at_ms=period.start_ms + n * HOUR_MS, p50_ms=40 + n % 5, p99_ms=130 + 7 * (n % 9))
                for n in range(24)
            ],
            dead_letters={"not_json": 12, "too_large": 1},
        ),
        elsewhere=18,
        correction=Correction(
            at_ms=period.cutoff_ms + 40 * HOUR_MS,
            late=Tally(310, 12),
            indexed_late=Tally(40, 40),
            services=[Line(name="order", now=Tally(310, 12)), Line(name="payment", now=Tally(40, 40))],
        ),
    )


def hostile_report(report: Report, text: str) -> Report:
    """The report with a text wherever others can write."""
    # As it comes from where it is stored: what is no UTF-8 never gets there.
    text = text.encode("utf-8", "replace").decode()
    raw = msgspec.to_builtins(report)
    raw["services"][0]["name"] = raw["nodes_with_errors"][0]["name"] = raw["nodes_with_errors"][0]["service"] = text
    raw["volume"][0]["service"] = raw["nodes"]["worst"][0]["node_id"] = raw["nodes"]["worst"][0]["service"] = text
    raw["incidents"]["worst"][0]["title"] = raw["incidents"]["rules"][0]["rule_id"] = text
    raw["levels"][0]["name"] = text
    for line in (raw["templates"][kind][0] for kind in ("errors", "new", "vanished")):
        line["text"] = line["example"] = line["service"] = line["level"] = text
    raw["pipeline"]["dead_letters"] = {text: 3}
    raw["pipeline"]["findings"] = raw["notes"] = [text]
    raw["currency"] = text[:8]
    raw["correction"]["services"][0]["name"] = text
    return msgspec.convert(raw, Report)
