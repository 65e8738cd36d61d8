"""What mutes by the rules that Vigil starts with."""

from __future__ import annotations

import pytest

from streaming.alerting.messages import Action, IncidentState
from streaming.alerting.rules.loading import load_rules
from streaming.settings import CHECKOUT
from tests.support.alert_office import Office


@pytest.fixture
def office() -> Office:
    return Office(load_rules(CHECKOUT / "rules"))


def is_silent(office: Office, rule: str) -> bool:
    return office.incident(rule, None).state is IncidentState.SILENCED


def test_a_node_that_is_down_mutes_its_logs_and_no_others(office: Office) -> None:
    office.candidate("error-log", "payment", node="payment-1")
    office.candidate("fatal-log", "order", node="order-1")
    office.candidate("node-down", group={"service.node.name": "payment-1"})
    assert is_silent(office, "error-log")
    assert not is_silent(office, "fatal-log")
    assert not is_silent(office, "node-down")
    assert office.candidate("error-log", "payment", node="payment-2") == [Action.REPEAT]


@pytest.mark.parametrize(
    ("check", "worker", "silent"),
    [("stalled", "heartbeat-monitor", True), ("stalled", "indexer", False), ("dead-letters", "", False)],
)
def test_a_pipeline_outage_mutes_nodes(office: Office, check: str, worker: str, silent: bool) -> None:
    rule = next(rule.id for rule in office.rules.rules if rule.kind == "pipeline-health")
    office.candidate("node-down", group={"service.node.name": "payment-1"})
    office.candidate(rule, "", group={"check": check, "worker": worker})
    assert is_silent(office, "node-down") is silent


def test_that_no_accumulator_delivers_is_one_message(office: Office) -> None:
    assert office.candidate("node-down", group={"service.node.name": "vigil-pipeline"}) == [Action.OPEN]
    assert office.candidate("node-down", group={"service.node.name": "payment-1"}) == []
    assert office.candidate("node-down", group={"service.node.name": "acc-1"}) == []
