"""What a new user gets from `vigil up`, and what is left after `vigil down`."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
from vigil_airflow.catalogue import task_name

from infra.local.airflow import COMPONENTS
from infra.local.down import down
from infra.local.isolated import isolated_settings
from infra.local.layout import Layout
from infra.local.stack import running
from infra.local.sweep import marked
from infra.service_manager import RunState
from infra.services import catalogue
from tests.support.platform import Platform, wait_until

DEPLOY = "/api/v2/dags/deploy_platform"


def test_up_ends_with_where_everything_is_and_a_first_alert(platform: Platform) -> None:
    settings = platform.settings
    for told in (
        f"http://127.0.0.1:{settings.airflow_port}",
        "user admin",
        settings.bootstrap,
        settings.elasticsearch,
        str(settings.accumulator3_port),
        "First alert",
        "vigil search",
        "vigil incidents",
        "vigil nodes",
    ):
        assert told in platform.said
    assert platform.slack.messages, "the first alert was delivered"


def test_airflow_shows_each_service_as_a_task_that_succeeded_in_order(platform: Platform) -> None:
    with platform.airflow() as client:
        run = client.get(f"{DEPLOY}/dagRuns?order_by=run_after&limit=1").json()["dag_runs"][0]
        found = client.get(f"{DEPLOY}/dagRuns/{run['dag_run_id']}/taskInstances").json()["task_instances"]
        errors = client.get("/api/v2/importErrors").json()
    tasks = {task["task_id"]: task for task in found}
    skipped = {name for name, task in tasks.items() if task["state"] == "skipped"}
    assert {task["state"] for name, task in tasks.items() if name not in skipped} == {"success"}
    assert {task_name("start", service.name) for service in catalogue(platform.settings)}.isdisjoint(skipped)
    assert {"plan", "apply", "reach_machines", "start_kibana", "show_links"} <= skipped, "what only machines have"
    assert errors["total_entries"] == 0
    order = ["start_kafka", "start_elasticsearch", "create_topics", "start_indexer", "start_accumulator1"]
    order += ["start_order", "canary_log"]
    ends = [tasks[name]["end_date"] for name in order]
    assert ends == sorted(ends)


def test_every_service_is_healthy_and_status_says_so_to_programs(platform: Platform) -> None:
    lines = json.loads(platform.vigil("status", "--json"))
    assert [line["name"] for line in lines] == [*COMPONENTS, *(s.name for s in catalogue(platform.settings))]
    assert [line["name"] for line in lines if not line["healthy"]] == []


def test_airflow_is_a_node_and_its_task_logs_are_searchable_too(platform: Platform) -> None:
    def components() -> bool:
        nodes = json.loads(platform.vigil("nodes", "--json"))
        return [n["state"] for n in nodes if n["service"] == "airflow"] == ["UP"] * 3

    wait_until(components, 60, "scheduler, triggerer and DAG processor beat")
    # Written while Elasticsearch was not there yet, and sent later.
    url = f"{platform.settings.elasticsearch}/{platform.settings.index_prefix}-airflow-logs-*"
    httpx.post(f"{url}/_refresh", timeout=30).raise_for_status()
    found = httpx.get(f"{url}/_count?q=task_id:start_kafka", timeout=30).raise_for_status().json()
    assert found["count"] > 0


def test_up_again_changes_nothing(platform: Platform) -> None:
    before = {status.name: status.pid for status in platform.manager.all()}
    platform.vigil("up", timeout_s=180)
    assert {status.name: status.pid for status in platform.manager.all()} == before


def test_a_worker_that_was_killed_comes_back_by_itself(platform: Platform) -> None:
    pid = platform.manager.status("heartbeat-monitor").pid
    assert pid
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        lines = json.loads(platform.vigil("status", "--json", expect=None))
        line = next(line for line in lines if line["name"] == "heartbeat-monitor")
        return bool(line["healthy"] and line["pid"] != pid)

    wait_until(back, 60, "the heartbeat monitor is back and healthy")


def test_the_workers_own_logs_are_searchable(platform: Platform) -> None:
    def found() -> int:
        return platform.count({"term": {"service.name": "vigil-indexer"}})

    wait_until(found, 30, "a log of the indexer is in Elasticsearch")


def test_the_platforms_own_logs_do_not_feed_themselves(platform: Platform) -> None:
    """Idle workers log nothing, so what they logged so far cannot have made more."""
    wait_until(lambda: platform.count({"prefix": {"service.name": "vigil-"}}), 30, "logs of workers")
    assert platform.count({"prefix": {"service.name": "vigil-"}}) < 1_000


@pytest.mark.timeout(180)
def test_nothing_is_left_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    settings = isolated_settings(tmp_path / "home")
    layout = Layout(settings.home)
    with running(settings, ["kafka", "heartbeat-monitor"]) as manager:
        processes = [psutil.Process(manager.supervisor_pid()), *marked(layout)]
        os.kill(manager.supervisor_pid(), signal.SIGKILL)
        down(settings, lambda _: None)
        assert marked(layout) == []
        assert [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_teardown_stops_every_service_in_airflow_and_up_brings_all_back(platform: Platform) -> None:
    teardown = "/api/v2/dags/teardown_platform/dagRuns"
    with platform.airflow() as client:
        run = client.post(teardown, json={"logical_date": None, "conf": {"target": "local"}}).raise_for_status().json()
        wait_until(
            lambda: client.get(f"{teardown}/{run['dag_run_id']}").json()["state"] in ("success", "failed"),
            120,
            "the teardown has ended",
        )
        assert client.get(f"{teardown}/{run['dag_run_id']}").json()["state"] == "success"
    assert {status.state for status in platform.manager.all()} == {RunState.STOPPED}
    platform.vigil("up", timeout_s=240)
    lines = json.loads(platform.vigil("status", "--json"))
    assert [line["name"] for line in lines if not line["healthy"]] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_idle_platform_stays_under_two_and_a_half_gigabytes(platform: Platform) -> None:
    layout = Layout(platform.settings.home)
    started = min(p.create_time() for p in marked(layout))
    wait_until(lambda: time.time() - started > 300, 310, "five minutes after the start")
    pss = sum(int(p.memory_full_info().pss) for p in marked(layout))
    assert pss < 2.5e9, f"{pss / 1e9:.2f} GB"
