"""`vigil nodes` on a registry of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from streaming.cli.nodes import nodes_app
from streaming.heartbeat import log_rates, orders, view
from streaming.heartbeat.messages import NodeOrder, NodeRecord, Order
from streaming.heartbeat.rhythm import Rhythm
from streaming.heartbeat.states import PIPELINE_ID, Kind, State
from streaming.heartbeat.view import NodeView, seen
from streaming.settings import Settings

NOW = 1_700_000_000_000


def record(node_id: str, state: State = State.UP, **more: Any) -> NodeRecord:
    rhythm = Rhythm()
    for n in range(50):
        rhythm.learn(1_000.0, NOW - 50_000 + n * 1_000)
    fields: dict[str, Any] = {
        "service": "s",
        "since_ms": NOW - 60_000,
        "first_seen_ms": NOW - 60_000,
        "last_beat_ms": NOW - 30_000,
        "mean_interval_ms": 1_000.0,
        "reason": "beats",
        "rhythm": rhythm,
    }
    return NodeRecord(node_id=node_id, state=state, **fields | more)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[NodeOrder]:
    """The orders that were sent; the nodes are two hostile ones, and one that is gone."""
    sent: list[NodeOrder] = []
    views = [
        seen(record("order-1", accumulator="accumulator1", skew_ms=-12.3), {"order-1": NOW - 500}, NOW),
        seen(record("\x1b[2Jevil\u202e", State.DOWN, reason="no heartbeat\nfor long\x1b[31m"), {}, NOW),
        seen(record("order-2", State.RETIRED, last_beat_ms=None, mean_interval_ms=None, duplicate=True), {}, NOW),
    ]
    monkeypatch.setattr(view, "read_nodes", lambda _settings, _now: views)
    monkeypatch.setattr(log_rates, "logs_a_minute", lambda _: {"order-1": 42})
    monkeypatch.setattr(orders, "send_order", lambda _, order: sent.append(order))
    return sent


def run(*arguments: str) -> str:
    result = CliRunner().invoke(nodes_app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_says_how_they_are_and_obeys_nobody(sent: list[NodeOrder]) -> None:
    lines = run().splitlines()
    columns = "node service state for phi last heartbeat interval through clock logs/min reason"
    assert " ".join(lines[0].split()) == columns
    assert [line.split()[:3] for line in lines[1:]] == [
        ["order-1", "s", "UP"],
        ["\\x1b[2Jevil\\u202e", "s", "DOWN"],
        ["order-2", "s", "RETIRED"],
    ]
    order, evil, gone = lines[1:]
    assert "0.5 s ago" in order
    assert "accumulator1" in order
    assert " 0.0 s " in order
    assert " 42 " in order
    assert "no heartbeat\\nfor long\\x1b[31m" in evil
    assert "never" in gone
    assert "two processes beat under this name" in gone
    assert sent == []


def test_json_and_one_state(sent: list[NodeOrder]) -> None:
    (found,) = json.loads(run("--state", "up", "--json"))
    assert (found["node_id"], found["state"], found["logs_per_minute"], found["silent_ms"]) == (
        "order-1",
        "UP",
        42,
        500,
    )
    assert 0 <= found["phi"] < 1
    assert run("--state", "suspect") == "No node is SUSPECT.\n"
    assert sent == []


def test_one_node(sent: list[NodeOrder]) -> None:
    text = run("show", "order-1")
    assert "through         accumulator1\n" in text
    assert "last heartbeat  0.5 s ago\n" in text
    assert json.loads(run("show", "order-2", "--json"))["phi"] is None
    assert "\x1b" not in run("show", "\x1b[2Jevil\u202e")
    assert sent == []


def test_orders(sent: list[NodeOrder]) -> None:
    assert (
        run("maintenance", "order-1", "--for", "2h", "--reason", "new disk", "--as", "ann") == "maintenance: order-1\n"
    )
    run("retire", "order-2", "--as", "ann")
    run("restore", "order-2", "--as", "ann")
    assert [(order.node_id, order.order, order.author) for order in sent] == [
        ("order-1", Order.MAINTENANCE, "ann"),
        ("order-2", Order.RETIRE, "ann"),
        ("order-2", Order.RESTORE, "ann"),
    ]
    assert sent[0].until_ms == sent[0].at_ms + 7_200_000
    assert sent[0].reason == "new disk"


def test_a_node_that_is_not_there_is_not_ordered_about(sent: list[NodeOrder]) -> None:
    result = CliRunner().invoke(nodes_app, ["retire", "order-11"])
    assert str(result.exception) == "no node is called order-11; did you mean order-1?"
    assert sent == []


@pytest.mark.parametrize(
    ("made", "recent", "phi"),
    [
        (record("n"), {}, True),
        (record("n", State.MAINTENANCE), {}, False),
        (record("n", State.DOWN, clean_shutdown=True), {}, False),
        (record("n", rhythm=Rhythm()), {}, False),
        (record(PIPELINE_ID, kind=Kind.PIPELINE), {}, False),
        (record("n", last_beat_ms=None), {}, False),
        (record("n", last_beat_ms=None), {"n": NOW}, True),
    ],
)
def test_phi_is_said_where_silence_means_something(made: NodeRecord, recent: dict[str, int], phi: bool) -> None:
    found = seen(made, recent, NOW)
    assert isinstance(found, NodeView)
    assert (found.phi is not None) is phi


def test_without_elasticsearch_there_is_no_log_rate() -> None:
    assert log_rates.logs_a_minute(Settings(elasticsearch_port=1)) is None
