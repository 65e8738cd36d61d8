"""The heartbeat monitor as a real process on a real Kafka."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.heartbeat.messages import NodeOrder, Order
from streaming.heartbeat.orders import send_order
from streaming.heartbeat.states import PIPELINE_ID, State
from streaming.heartbeat.view import read_nodes
from streaming.kafka import clients, topics
from streaming.kafka.admin import TopicReport
from streaming.settings import Settings
from tests.support.heartbeats import Lab

WITHIN_S = 40.0


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Liveness never touches Elasticsearch."""
    return ("kafka",)


@pytest.fixture
def lab(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
) -> Lab:
    return Lab(settings, environment, launch)


def test_silence_is_noticed_also_by_a_monitor_that_was_killed(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    lab.register("n1", "a")
    wait_until(lambda: lab.lives("n1", "a"), WITHIN_S, "n1 is known")
    lab.kill()
    lab.start()
    wait_until(lambda: lab.is_state("n1", State.DOWN), WITHIN_S, "the second monitor finds n1 silent")
    assert ("n1", State.DOWN) in lab.changes()
    wait_until(lambda: lab.lives("n1", "a"), WITHIN_S, "n1 is back")


def test_a_restarted_node_is_up_at_once(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    for seq in range(1, 30):
        lab.beat("n1", seq, "a")
    lab.beat("n1", 30, "a", status="DOWN")
    wait_until(lambda: lab.is_state("n1", State.DOWN), WITHIN_S, "n1 said goodbye")
    assert lab.nodes()["n1"].clean_shutdown
    lab.register("n1", "b")
    wait_until(lambda: lab.lives("n1", "b"), WITHIN_S, "it is up again, though it counts from 1")
    wait_until(lambda: lab.nodes()["n1"].last_seq == lab.seq, WITHIN_S, "its beats count")


def test_what_cannot_be_read_is_a_dead_letter_and_stops_nothing(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    lab.send(topics.HEARTBEATS, "", message_type="HEARTBEAT", status="UP")
    lab.beat("n1", 1, "a")
    wait_until(lambda: "n1" in lab.nodes(), WITHIN_S, "n1 is known")
    source = clients.consumer(lab.settings.kafka, lab.settings.group("test"))
    source.subscribe([lab.settings.topic(topics.DEAD_LETTERS)])
    letter = wait_until(lambda: source.poll(0.2), WITHIN_S, "the dead letter")
    source.close()
    assert dict(letter.headers())["reason"] == b"no-node-id"  # type: ignore[attr-defined]


def test_a_dead_accumulator_is_one_node_down_and_its_nodes_are_unknown(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    seq = 0

    def until(goal: Callable[[dict[str, State]], bool], *accumulators: str) -> Callable[[], bool]:
        """Beats of nodes and accumulators, those of them that live, until the states are so."""

        def look() -> bool:
            nonlocal seq
            seq += 1
            for name in accumulators:
                lab.accumulator(name, seq)
                lab.carried(f"behind-{name}", seq, name)
            return goal({node: record.state for node, record in lab.nodes().items()})

        return look

    both = {"accumulator1", "accumulator2", "behind-accumulator1", "behind-accumulator2", PIPELINE_ID}
    all_up = until(lambda states: states.keys() == both and set(states.values()) == {State.UP}, *sorted(both)[:2])
    wait_until(all_up, WITHIN_S, "all are up")
    wait_until(
        until(
            lambda states: (states["accumulator1"], states["behind-accumulator1"]) == (State.DOWN, State.UNKNOWN),
            "accumulator2",
        ),
        WITHIN_S,
        "accumulator1 is down, and nothing can be said of its node",
    )
    downs = [node for node, state in lab.changes() if state is State.DOWN]
    assert downs == ["accumulator1"]
    (view,) = (v for v in read_nodes(lab.settings, time.time_ns() // 1_000_000) if v.record.node_id == "accumulator2")
    assert view.silent_ms is not None
    assert view.record.service == "order"
    wait_until(all_up, WITHIN_S, "it is back")


def test_orders_and_the_inventory(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    wait_until: Callable[[Callable[[], object], float, str], object],
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "nodes.yaml").write_text("inventory: [{node: never-came, service: order}]")
    lab = Lab(settings, environment | {"VIGIL_RULES_PATH": str(rules)}, launch)
    lab.register("n1", "a")
    wait_until(lambda: lab.lives("n1", "a"), WITHIN_S, "n1 is known")
    now_ms = time.time_ns() // 1_000_000
    send_order(settings, NodeOrder(node_id="n1", order=Order.RETIRE, at_ms=now_ms, author="ann", reason="sold"))
    wait_until(lambda: lab.is_state("n1", State.RETIRED), WITHIN_S, "n1 is retired")
    wait_until(lambda: lab.nodes()["never-came"].never_seen, WITHIN_S, "that a node never came is noticed")
    (rules / "nodes.yaml").write_text("inventory: []")
    wait_until(lambda: "never-came" not in lab.nodes(), WITHIN_S, "it is expected no longer")
    assert lab.nodes()["n1"].reason == "retired by ann: sold"
