"""Search on a real server: each form of the language finds what it says, in order, and tail misses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import cast

import pytest
from typer import Typer
from typer.testing import CliRunner

from streaming.cli.search import search
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.elastic.query import parse_query
from streaming.elastic.search import Follower, LogSearch
from streaming.errors import Unavailable
from streaming.events.ecs import Provenance, encode
from streaming.events.model import Level, LogEvent
from streaming.settings import CHECKOUT, Settings

BASE_NS = 1_795_500_000_000_000_000
EVENTS = (
    LogEvent(timestamp_ns=BASE_NS, level=Level.INFO, message="payment went through", service="payment", node_id="p-1"),
    LogEvent(
        timestamp_ns=BASE_NS + 1_000,
        level=Level.ERROR,
        message="connection to bank refused",
        service="payment",
        node_id="p-2",
        trace_id="4bf9",
        error_code="E42",
        error_message="timed out",
        http_status=503,
        duration_ns=2_500_000_000,
    ),
    LogEvent(
        timestamp_ns=BASE_NS + 2_000_000,
        level=Level.FATAL,
        message="refused: connection \x1b[31mred\x1b[0m [bold]x[/bold]",
        service="order",
        node_id="o-1",
        labels={"user": "seven", "deep": {"er": 7}},
    ),
    LogEvent(
        timestamp_ns=BASE_NS + 3_000_000, level=Level.DEBUG, message="http://x/y", service="order", trace_id="4bf9"
    ),
)


def put(connection: Connection, prefix: str, events: tuple[LogEvent, ...], ingested_ns: int, first: int = 0) -> None:
    index = f"{prefix}-logs-default-2026.11.24"
    connection.request("PUT", f"/{index}")
    items = [
        bulk.item(
            bulk.create_line(index),
            f"id{n}".encode(),
            encode(event, Provenance(BASE_NS, f"s{n}", "a", 1, n, "logs", 0, n), ingested_ns=ingested_ns),
        )
        for n, event in enumerate(events, first)
    ]
    assert bulk.read_answer(bulk.send(connection, items), len(items), 1) is None
    connection.request("POST", f"/{index}/_refresh")


@pytest.fixture
def logs(settings: Settings, connection: Connection) -> LogSearch:
    """A search over `EVENTS`."""
    ensure_templates(settings)
    put(connection, settings.index_prefix, EVENTS, BASE_NS)
    return LogSearch(connection, settings.index_prefix)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {0, 1, 2, 3}),
        ("level:ERROR", {1}),
        ("level>=error", {1, 2}),
        ("level<INFO", {3}),
        ("service:payment", {0, 1}),
        ("service:pay*", {0, 1}),
        ("service:payment,order -level:DEBUG", {0, 1, 2}),
        ("refused", {1, 2}),
        ("refused connection", {1, 2}),
        ('"bank refused"', {1}),
        ("refu*", {1, 2}),
        ("refused -bank", {2}),
        ("timed", {1}),
        ("trace:4bf9", {1, 3}),
        ("trace:*", {1, 3}),
        ("-trace:*", {0, 2}),
        ("status>=500", {1}),
        ("duration>2s", {1}),
        ("duration>3s", set()),
        ("labels.user:seven", {2}),
        ("labels.deep.er:7", {2}),
        ("labels.user:sev*", {2}),
        ("labels.user:*", {2}),
        ('"http://x/y"', {3}),
        ("source:s2", {2}),
        ("received:2026-11-24T06:00:00Z", {0, 1, 2, 3}),
        ("... *** -", set()),
    ],
)
def test_each_form_of_the_language(logs: LogSearch, text: str, found: set[int]) -> None:
    hits = logs.find(parse_query(text, 0), limit=10).hits
    assert {int(hit.id.removeprefix("id")) for hit in hits} == found


def test_times_bound_the_event_and_order_is_exact_to_the_nanosecond(logs: LogSearch) -> None:
    ms = BASE_NS // 1_000_000
    ids = [hit.id for hit in logs.find(parse_query("", 0), limit=10, order="asc").hits]
    assert ids == ["id0", "id1", "id2", "id3"]
    bounded = parse_query("since:2s until:now", ms + 3)
    assert {hit.id for hit in logs.find(bounded, limit=10).hits} == {"id0", "id1", "id2"}


def test_more_than_one_page(settings: Settings, connection: Connection) -> None:
    ensure_templates(settings)
    event = LogEvent(timestamp_ns=BASE_NS, level=Level.INFO, message="same time")
    put(connection, settings.index_prefix, (event,) * 2_345, BASE_NS)
    found = LogSearch(connection, settings.index_prefix).find(parse_query("same", 0), limit=2_200)
    assert len({hit.id for hit in found.hits}) == 2_200
    assert found.total == 2_345


def test_no_index_yet_is_nothing_found(settings: Settings, connection: Connection) -> None:
    assert LogSearch(connection, settings.index_prefix).find(parse_query("x", 0), limit=5).hits == []


def test_follow_shows_each_once_also_what_comes_late(settings: Settings, connection: Connection) -> None:
    ensure_templates(settings)
    prefix, now = settings.index_prefix, BASE_NS
    follower = Follower(LogSearch(connection, prefix), parse_query("", 0), now // 1_000_000 - 1_000)
    put(connection, prefix, EVENTS[:2], now)
    assert [hit.id for hit in follower.look(now // 1_000_000)] == ["id0", "id1"]
    put(connection, prefix, EVENTS[2:3], now - 1_000_000_000, first=2)  # indexed before, seen after
    put(connection, prefix, EVENTS[3:], now + 1_000_000_000, first=3)
    assert [hit.id for hit in follower.look(now // 1_000_000 + 1_000)] == ["id2", "id3"]
    assert list(follower.look(now // 1_000_000 + 2_000)) == []


@pytest.fixture
def run(settings: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs `search` in this process with the test's settings."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return CliRunner()


def app() -> Typer:
    made = Typer()
    made.command()(search)
    return made


@pytest.mark.usefixtures("logs")
class TestCommand:
    """`vigil search`."""

    def test_lines_obey_nothing_in_the_log(self, run: CliRunner) -> None:
        shown = run.invoke(app(), ["level:FATAL"]).stdout
        assert "FATAL" in shown
        assert r"\x1b[31mred" in shown
        assert "\x1b" not in shown
        assert "[bold]x[/bold]" in shown

    def test_newest_last_and_the_rest_is_counted(self, run: CliRunner) -> None:
        result = run.invoke(app(), ["-n", "2"])
        assert [line.split()[2] for line in result.stdout.splitlines()] == ["FATAL", "DEBUG"]
        assert "2 of 4 matching logs" in result.stderr

    def test_json_lines_are_whole_documents(self, run: CliRunner) -> None:
        result = run.invoke(app(), ["--json", "--level", "error,fatal", "--service", "order"])
        (document,) = [cast("dict[str, dict[str, object]]", json.loads(line)) for line in result.stdout.splitlines()]
        assert document["labels"] == {"user": "seven", "deep": {"er": 7}}
        assert document["_id"] == cast(object, "id2")

    def test_nothing_found_says_what_was_searched(self, run: CliRunner) -> None:
        result = run.invoke(app(), ["service:nobody", "--since", "1h"])
        assert result.exit_code == 0
        assert "service.name one-of 'nobody'" in result.stderr

    def test_away_is_one_line_with_a_remedy(self, run: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "http://127.0.0.1:1")
        result = run.invoke(app(), ["x"])
        assert isinstance(result.exception, Unavailable)
        assert "`vigil status`" in str(result.exception)


def test_tail_shows_what_the_indexer_just_wrote(settings: Settings, connection: Connection) -> None:
    ensure_templates(settings)
    now = time.time_ns()
    put(connection, settings.index_prefix, EVENTS, now)
    follower = Follower(
        LogSearch(connection, settings.index_prefix), parse_query("level:ERROR", 0), now // 1_000_000 - 1
    )
    assert [hit.id for hit in follower.look(now // 1_000_000)] == ["id1"]


def test_tail_as_a_process_ends_cleanly_on_ctrl_c(
    settings: Settings, connection: Connection, environment: dict[str, str]
) -> None:
    ensure_templates(settings)
    # A shell that runs the tests in the background makes all that they start deaf to SIGINT.
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hears}; import typer; from streaming.cli.tail import tail; typer.run(tail)"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--json", "level:ERROR"],
        env=os.environ | environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        put(connection, settings.index_prefix, EVENTS, time.time_ns())
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["_id"] == "id1"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
