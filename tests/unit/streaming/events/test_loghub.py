"""Every line of eight real systems, as `vigil replay` sends it, against the columns of the accompanying CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streaming.events.ecs import Provenance, document
from streaming.events.levels import level_of
from streaming.events.model import LogEvent
from streaming.events.parse import parse

RECEIVED = datetime(2026, 11, 24, 6, 38, 11, tzinfo=UTC)
RECEIVED_NS = int(RECEIVED.timestamp()) * 1_000_000_000
Row = dict[str, str]


def _at(text: str, notation: str) -> datetime:
    return datetime.strptime(text, notation).replace(tzinfo=UTC)


def _without_year(month: str, day: str, clock: str) -> datetime:
    """The latest year that does not put the time more than a day after it was received."""
    year = RECEIVED.year
    time = _at(f"{year} {month} {day} {clock}", "%Y %b %d %H:%M:%S")
    return time if (time - RECEIVED).days < 1 else time.replace(year=year - 1)


COMMA = "%Y-%m-%d %H:%M:%S,%f"
TIMES: dict[str, Callable[[Row], datetime]] = {
    "Apache": lambda row: _at(row["Time"], "%a %b %d %H:%M:%S %Y"),
    "HDFS": lambda row: _at(row["Date"] + row["Time"], "%y%m%d%H%M%S"),
    "Hadoop": lambda row: _at(f"{row['Date']} {row['Time']}", COMMA),
    "Linux": lambda row: _without_year(row["Month"], row["Date"], row["Time"]),
    "OpenSSH": lambda row: _without_year(row["Date"], row["Day"], row["Time"]),
    "OpenStack": lambda row: _at(f"{row['Date']} {row['Time']}", "%Y-%m-%d %H:%M:%S.%f"),
    "Spark": lambda row: _at(f"{row['Date']} {row['Time']}", "%y/%m/%d %H:%M:%S"),
    "Zookeeper": lambda row: _at(f"{row['Date']} {row['Time']}", COMMA),
}
WITHOUT_LEVEL = {"Linux", "OpenSSH"}


def _lines(file: Path) -> list[str]:
    """Split at newlines alone, so that each keeps its carriage return; nothing follows a last newline."""
    lines = file.read_bytes().decode().split("\n")
    return lines[:-1] if lines[-1] == "" else lines


@pytest.fixture
def look_alike() -> Path:
    return Path(__file__).parents[4] / "tests" / "data" / "loghub-like"


@pytest.mark.parametrize("system", TIMES)
@pytest.mark.parametrize("folder", ["loghub", "look_alike"])
def test_every_line_has_the_time_level_and_text_of_the_csv(
    request: pytest.FixtureRequest, folder: str, system: str
) -> None:
    loghub: Path = request.getfixturevalue(folder)
    lines = _lines(loghub / f"{system}_2k.log")
    with (loghub / f"{system}_2k.log_structured.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(lines) == len(rows) > 0
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        record = {"message": line, "service_name": system, "node_id": f"replay-{system}"}
        event = parse(json.dumps(record).encode(), received_ns=RECEIVED_NS, event_ns=RECEIVED_NS - 5)
        assert isinstance(event, LogEvent)
        assert (event.service, event.node_id, event.time_source) == (system, f"replay-{system}", "event")
        expected = TIMES[system](row)
        assert event.timestamp_ns == (expected - datetime(1970, 1, 1, tzinfo=UTC)) // (expected.resolution) * 1_000
        level = "INFO" if system in WITHOUT_LEVEL else level_of(row["Level"])
        assert level is not None
        assert event.level == level, line
        assert event.original == line
        assert row["Content"].strip() in event.message
        assert not event.message.endswith("\r")
        built = document(event, Provenance(RECEIVED_NS, f"logs-0-{number}", None, None, None, "logs", 0, number))
        about = built["event"]
        assert isinstance(about, dict)
        assert about["original"] == line


def test_the_look_alike_has_what_raises_incidents(look_alike: Path) -> None:
    hadoop = (look_alike / "Hadoop_2k.log").read_text()
    assert " ERROR [" in hadoop
    assert " FATAL [" in hadoop
    assert "] [error] " in (look_alike / "Apache_2k.log").read_text()
    assert (look_alike / "Spark_2k.log").read_bytes().endswith(b"\r\n")
    assert not (look_alike / "Hadoop_2k.log").read_bytes().endswith(b"\n")
