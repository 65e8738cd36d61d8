"""The control room at work: DAGs of a running platform, by the real scheduler."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

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


def test_many_may_write_to_airflow_at_once(platform: Platform) -> None:
    """Airflow alone stands still for 5 s with each second of these requests, and then refuses them."""
    with platform.airflow() as client:

        def write(number: int) -> int:
            if number % 2:
                pool = {"name": f"many-{number}", "slots": 1}
                return client.post("/api/v2/pools", json=pool, timeout=240).status_code
            run = {"logical_date": None, "dag_run_id": f"many-{number}"}
            return client.post("/api/v2/dags/rules_backtest/dagRuns", json=run, timeout=240).status_code

        dag = client.get("/api/v2/dags/rules_backtest").raise_for_status().json()
        client.patch("/api/v2/dags/rules_backtest", json={"is_paused": True}).raise_for_status()
        try:
            with ThreadPoolExecutor(12) as writers:
                answers = list(writers.map(write, range(24)))
        finally:
            for number in range(24):
                what = f"pools/many-{number}" if number % 2 else f"dags/rules_backtest/dagRuns/many-{number}"
                client.delete(f"/api/v2/{what}")
            client.patch("/api/v2/dags/rules_backtest", json={"is_paused": dag["is_paused"]}).raise_for_status()
    assert [answer for answer in answers if answer not in (200, 201)] == []
