"""A report of a day with a known answer: the day that is 25 hours long in Berlin, in real indices of three UTC days."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date

import msgspec
import pytest
from typer import Typer
from typer.testing import CliRunner

from streaming.alerting.messages import Happening, Incident, IncidentEvent, Severity
from streaming.cli.reports import reports_app
from streaming.elastic.connection import Connection
from streaming.events.model import Level
from streaming.fingerprint.shapes import fingerprint
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.states import State
from streaming.kafka import topics as catalogue
from streaming.kafka.admin import TopicReport
from streaming.kafka.clients import producer
from streaming.reports.build import NotOver
from streaming.reports.making import Made, make
from streaming.reports.model import Report, Tally, decode
from streaming.reports.period import HOUR_MS, Kind, period_of
from streaming.reports.store import HTML, JSON, PDF, PICTURE, REPORTS, ReportStore
from streaming.settings import Settings
from streaming.templates.messages import Placed, Shape
from tests.support.incidents import plain_incident
from tests.support.stored_logs import Log, moment, put_logs

DAY = period_of(Kind.DAILY, date(2026, 10, 25), "Europe/Berlin", 1.0)
START, END, CUTOFF = moment("2026-10-24T22:00Z"), moment("2026-10-25T23:00Z"), moment("2026-10-26T00:00Z")
NOW = CUTOFF + HOUR_MS
BACKUP, REFUSED, FULL = "backup of 7 completed", "connection 12 refused", "disk is full"

COUNTED = (
    Log(START, Level.ERROR, message=REFUSED),
    # 02:30 comes twice: once in summer time, once an hour later.
    Log(moment("2026-10-25T00:30Z"), Level.ERROR, message=REFUSED, node="order-2"),
    Log(moment("2026-10-25T01:30Z"), Level.ERROR, message=REFUSED, node="order-2"),
    *(Log(START + HOUR_MS * n) for n in range(7)),
    # Cut off over midnight, and received within the hour that is waited for, on the next UTC day but one.
    Log(END - 1, Level.FATAL, "payment", FULL, "payment-1", CUTOFF - 1),
    Log(END - 1, service="", node="x"),
)
LATE = Log(END - 1, Level.FATAL, "payment", FULL, "payment-1", CUTOFF)
NOT_OF_THE_DAY = (
    Log(START - 1, Level.ERROR, message=REFUSED),
    Log(END, Level.ERROR, message=REFUSED),
    Log(START + 5, Level.ERROR, "vigil-canary", "canary"),
    Log(moment("1999-01-01T00:00Z"), Level.ERROR, received_ms=START + 7),
    LATE,
)
THE_DAY_BEFORE = (Log(START - HOUR_MS, message=BACKUP), Log(START - 2 * HOUR_MS, Level.ERROR, "billing", "cannot bill"))
A_WEEK_BEFORE = tuple(Log(moment("2026-10-18T12:00+02:00") + n, Level.ERROR, message=REFUSED) for n in range(2))


@pytest.fixture
def settings(settings: Settings, topics: TopicReport) -> Settings:
    """Those of a shop in Berlin, where the day has passed."""
    settings = settings.model_copy(update={"report_zone": "Europe/Berlin", "report_price_per_gb": 2.0})
    put_logs(settings, (*COUNTED, *NOT_OF_THE_DAY, *THE_DAY_BEFORE, *A_WEEK_BEFORE))
    return settings


@pytest.fixture
def told(settings: Settings) -> None:
    """What lies in Kafka of that day."""
    put_records(settings, catalogue.TEMPLATES, placed(BACKUP, 0), placed(REFUSED, 0), placed(FULL, START + 1))
    shapes = [(fingerprint(t).encode(), Shape(fingerprint(t), t, t, 0)) for t in (BACKUP, REFUSED, FULL)]
    put_records(settings, catalogue.FINGERPRINTS, *shapes)
    put_records(settings, catalogue.INCIDENT_EVENTS, *history())
    put_records(
        settings, catalogue.NODE_REGISTRY, node("order-1", State.UP, START + 4 * HOUR_MS), node("order-2", State.UP, 1)
    )
    put_records(
        settings,
        catalogue.NODE_STATUS,
        status("order-1", State.UP, START - HOUR_MS),
        status("order-1", State.DOWN, START + 2 * HOUR_MS),
        status("order-1", State.UP, START + 4 * HOUR_MS),
        status("order-1", State.DOWN, END + HOUR_MS),
    )


def test_a_day_has_its_known_answer(settings: Settings, told: None) -> None:
    with pytest.raises(NotOver, match=r"2026-10-26 01:00 CET \(UTC\+01:00\)"):
        make(settings, DAY, CUTOFF - 1)
    report = make(settings, DAY, NOW).report
    is_counted_by_its_logs_own_time_up_to_the_cutoff(report)
    tells_what_the_logs_said(report)
    tells_of_incidents_nodes_and_volume(report)


def is_counted_by_its_logs_own_time_up_to_the_cutoff(report: Report) -> None:
    assert report.total.now == Tally(12, 4)
    assert report.total.before == Tally(3, 2)
    assert report.total.week_ago == Tally(2, 2)
    assert {line.name: line.now for line in report.services} == {
        "order": Tally(10, 3),
        "payment": Tally(1, 1),
        "": Tally(1, 0),
        "billing": Tally(0, 0),
    }
    assert {line.name: line.now.documents for line in report.levels if line.now.documents} == {
        "FATAL": 1,
        "ERROR": 3,
        "INFO": 8,
    }
    by_hour = {slot.label: slot.now for slot in report.slots}
    assert len(by_hour) == 25
    # The error of 00:30Z beside the log of 00:00Z; an hour later the clocks show the same.
    assert (by_hour["02:00"], by_hour["02:00 +01:00"]) == (Tally(2, 1), Tally(2, 1))
    assert (by_hour["00:00"], by_hour["23:00"]) == (Tally(2, 1), Tally(2, 1))
    assert {line.name: (line.service, line.now.errors) for line in report.nodes_with_errors} == {
        "order-2": ("order", 2),
        "order-1": ("order", 1),
        "payment-1": ("payment", 1),
    }
    assert report.elsewhere == 1


def tells_what_the_logs_said(report: Report) -> None:
    found = report.templates
    assert [(line.text, line.count, line.before, line.week_ago) for line in found.errors] == [
        (REFUSED, 3, 1, 2),
        (FULL, 1, 0, 0),
    ]
    assert [(line.text, line.level) for line in found.new] == [(FULL, "FATAL")]
    assert [(line.text, line.before) for line in found.vanished] == [(BACKUP, 1)]


def tells_of_incidents_nodes_and_volume(report: Report) -> None:
    incidents = report.incidents
    assert (incidents.opened, incidents.acknowledged, incidents.resolved) == (2, 1, 1)
    assert incidents.to_acknowledge.median_ms == 60_000
    assert incidents.to_resolve.median_ms == 600_000
    assert [(rule.rule_id, rule.opened) for rule in incidents.rules] == [("refused", 1), ("slow", 1)]
    assert report.nodes.total == 2
    assert report.nodes.always_up == 1
    [worst] = report.nodes.worst
    assert (worst.node_id, worst.down_ms, worst.up_ms, worst.outages) == ("order-1", 2 * HOUR_MS, 23 * HOUR_MS, 1)
    volume = {line.service: line for line in report.volume}
    assert volume["order"].bytes > volume["payment"].bytes > 0
    assert volume["order"].cost == pytest.approx(volume["order"].bytes / 1e9 * 2.0, rel=1e-3)


def test_a_report_keeps_its_numbers_whatever_becomes_of_it_and_shows_what_came_later(
    settings: Settings, told: None
) -> None:
    first = is_built_with_the_same_numbers_where_it_is_lost(settings, make(settings, DAY, NOW))
    put_logs(settings, [Log(START + 5, Level.ERROR, message=REFUSED)])
    again = make(settings, DAY, NOW + HOUR_MS)
    assert not again.is_first
    assert without_correction(again.report) == without_correction(first.report)
    found = again.report.correction
    assert found is not None
    assert (found.late, found.indexed_late, found.gone) == (Tally(1, 1), Tally(1, 1), Tally())
    assert {line.name: line.now for line in found.services} == {"payment": Tally(1, 1), "order": Tally(1, 1)}
    delete_logs_of(settings, "2026.10.25")
    once_more = make(settings, DAY, NOW + HOUR_MS).report
    assert without_correction(once_more) == without_correction(first.report)
    assert once_more.correction is not None
    assert once_more.correction.gone.documents > 0
    afresh = make(settings, DAY, NOW + HOUR_MS, afresh=True).report
    assert (afresh.total.now.documents, afresh.correction) == (4, None)


def is_built_with_the_same_numbers_where_it_is_lost(settings: Settings, first: Made) -> Made:
    for name in (JSON, HTML, PDF, PICTURE):
        assert (first.folder / name).stat().st_mode & 0o777 == 0o600
        (first.folder / name).unlink()
    # Its document is still there.
    assert without_correction(make(settings, DAY, NOW).report) == without_correction(first.report)
    forget(settings, first)
    rebuilt = make(settings, DAY, NOW + 1)
    assert rebuilt.is_first
    same = msgspec.structs.replace(rebuilt.report, built_ms=first.report.built_ms, shown_ms=first.report.shown_ms)
    # Volume is what Elasticsearch takes at the moment.
    assert msgspec.structs.replace(same, volume=[]) == msgspec.structs.replace(first.report, volume=[])
    return rebuilt


def weeks_and_days_without_anything_are_told_too(settings: Settings) -> None:
    empty = period_of(Kind.DAILY, DAY.day.replace(year=2020), "UTC", 1.0)
    made = make(settings, empty, NOW)
    assert made.report.total.now == Tally()
    assert made.report.total.before is None
    assert "No service logged anything." in (made.folder / HTML).read_text()
    week = period_of(Kind.WEEKLY, DAY.day, "Europe/Berlin", 1.0)
    report = make(settings, week, NOW).report
    assert report.total.now == Tally(15, 6)
    assert report.total.before == Tally(2, 2)
    assert [slot.now.documents for slot in report.slots] == [0, 0, 0, 0, 0, 3, 12]
    assert [slot.errors_before for slot in report.slots] == [0, 0, 0, 0, 0, 0, 2]


def test_the_command_builds_shows_and_lists(
    settings: Settings, told: None, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks_and_days_without_anything_are_told_too(settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VIGIL_REPORT_ZONE", "Europe/Berlin")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    app = Typer()
    app.add_typer(reports_app, name="reports")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["reports", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    built = run("build", "--day", "2026-10-25")
    assert "Errors: 4" in built
    assert HTML in built
    report = decode(run("show", "--day", "2026-10-25", "--json").encode())
    assert report is not None
    assert report.total.now == Tally(12, 4)
    listed = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [(one["day"], one["errors"]) for one in listed] == [("2026-10-25", 4), ("2020-10-25", 0), ("2026-10-19", 6)]
    assert "2026-10-25" in run("list")


# --------------------------------------------------------------------------------------------- what lies in Kafka


def put_records(settings: Settings, topic: str, *records: tuple[bytes, object]) -> None:
    client = producer(settings.kafka)
    for key, value in records:
        client.produce(settings.topic(topic), msgspec.json.encode(value), key)
    assert client.flush(20) == 0


def placed(message: str, first_seen_ms: int) -> tuple[bytes, Placed]:
    name = fingerprint(message)
    return name.encode(), Placed(name, name, message, first_seen_ms, 1)


def node(name: str, state: State, since_ms: int) -> tuple[bytes, NodeRecord]:
    record = NodeRecord(
        node_id=name,
        service="order",
        state=state,
        since_ms=since_ms,
        first_seen_ms=1,
        last_beat_ms=END,
        mean_interval_ms=1000.0,
        reason="",
    )
    return name.encode(), record


def status(name: str, state: State, at_ms: int) -> tuple[bytes, NodeStatus]:
    change = NodeStatus(
        node_id=name, service="order", state=state, at_ms=at_ms, last_beat_ms=at_ms, silent_for_ms=0, reason=""
    )
    return name.encode(), change


def history() -> Iterable[tuple[bytes, IncidentEvent]]:
    """One that is acknowledged and resolved, one that is still open at the cut-off, and four that do not count."""
    yield entry("yesterday", "refused", Happening.OPENED, START - 1)
    yield entry("a", "refused", Happening.OPENED, START)
    yield entry("a", "refused", Happening.ACKNOWLEDGED, START + 60_000)
    yield entry("a", "refused", Happening.RESOLVED, START + 600_000)
    yield entry("canary", "canary", Happening.OPENED, START + 1, route="canary")
    yield entry("b", "slow", Happening.OPENED, END - 1)
    yield entry("tomorrow", "refused", Happening.OPENED, END)
    yield entry("b", "slow", Happening.RESOLVED, CUTOFF)


def entry(
    name: str, rule: str, happening: Happening, at_ms: int, route: str = "default"
) -> tuple[bytes, IncidentEvent]:
    incident: Incident = plain_incident(
        incident_id=name, rule_id=rule, severity=Severity.CRITICAL, title=f"<b>{name}</b>", opened_ms=at_ms, route=route
    )
    return name.encode(), IncidentEvent(happening=happening, at_ms=at_ms, actor="r", reason="", incident=incident)


def without_correction(report: Report) -> Report:
    return msgspec.structs.replace(report, correction=None, shown_ms=0)


def delete_logs_of(settings: Settings, day: str) -> None:
    connection = Connection(settings.elastic)
    connection.request("DELETE", f"/{settings.index_prefix}-logs-default-{day}")
    connection.close()


def forget(settings: Settings, made: Made) -> None:
    """As on a new machine with a new Elasticsearch."""
    for file in made.folder.iterdir():
        file.unlink()
    connection = Connection(settings.elastic)
    connection.request("DELETE", f"/{REPORTS.index(settings.index_prefix)}")
    connection.close()
    assert ReportStore(settings).stored(made.report.period) is None
