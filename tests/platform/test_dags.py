"""The control room at work: DAGs of a running platform, by the real scheduler."""

from __future__ import annotations

import json
import time

from tests.support.platform import Platform


def test_the_audits_find_a_good_platform_and_say_so(platform: Platform) -> None:
    nodes = platform.run_dag("heartbeat_audit")
    assert nodes.state == "success", nodes.logs
    assert "all is as it should be" in nodes.logs["audit_nodes"]
    pipeline = platform.run_dag("pipeline_audit")
    assert pipeline.state == "success", pipeline.logs
    audit = json.loads(platform.vigil("nodes", "audit", "--json"))
    wrong = [finding for finding in audit["findings"] if finding["severity"] != "info"]
    assert wrong == [], "what logs seldom is only listed"
    assert audit["verdict"] == "good"
    assert audit["facts"]["nodes_up"] >= 3
    *_, kept = sorted(platform.settings.home.glob("audits/pipeline/*.json"))
    facts = json.loads(kept.read_text(encoding="utf-8"))["pipeline"]
    assert facts["verify_verdict"] == "proven"
    assert facts["lost_events"] == 0
    assert facts["records"] > 0
    assert len(facts["log_to_alert"]["values_ms"]) == len(facts["log_to_document"]["values_ms"]) == 5


def test_a_rolling_restart_restarts_what_was_chosen_and_nothing_else(platform: Platform) -> None:
    before = {status.name: status.pid for status in platform.manager.all()}
    ran = platform.run_dag("restart_platform", {"services": ["templates", "notifier"], "target": "local"})
    assert ran.state == "success", ran.logs
    assert {task for task, state in ran.tasks.items() if state == "success"} == {
        "platform_is_up",
        "restart_templates",
        "restart_notifier",
    }
    after = {status.name: status.pid for status in platform.manager.all()}
    assert {name for name in before if before[name] != after[name]} == {"templates", "notifier"}


def test_times_are_utc_with_the_zone_named(platform: Platform) -> None:
    said = platform.vigil("nodes", "audit", expect=None)
    assert time.strftime("%Y-%m-%d", time.gmtime()) in said
    assert "UTC" in said.splitlines()[0]
