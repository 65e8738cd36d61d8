"""What ran live, told again afterwards: a backtest finds the same incidents, and `vigil why` the reasons."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from infra.cli import app
from streaming.alerting.messages import IncidentState
from streaming.alerting.rehearsal.backtest import From, backtest
from streaming.alerting.rules.loading import load_rules
from tests.support.alert_path import AlertPath

RULES = """
rules:
  - {id: errors, kind: match, where: {levels: [ERROR]}, group_by: [error.code], severity: error,
     title: "{{ error.code }}", resolve_after: 1h}
  - {id: many, kind: threshold, where: {levels: [WARN]}, group_by: [service.name], window: 1h, count: 30,
     severity: warning, title: many}
  - {id: other-service, kind: match, where: {levels: [ERROR], fields: {service.name: {equals: billing}}},
     severity: error, title: t}
"""


def test_a_backtest_finds_what_was_found_live_and_why_explains_it(
    alert_path: AlertPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_ms = int(time.time() * 1000) - 1
    alert_path.write_rules(RULES)
    alert_path.start("matcher", "manager")
    for number in range(300):
        alert_path.log(code=f"E{number % 7}", level=["INFO", "WARN", "ERROR"][number % 3], service=f"s{number % 2}")
    alert_path.log_at(3, "E2", "ERROR", "s0")  # a second time, as after a crash of its accumulator
    alert_path.flush()
    expected = {("errors", f"E{code}"): 0 for code in range(7)} | {("many", ""): 50}
    for number in range(2, 300, 3):
        expected["errors", f"E{number % 7}"] += 1

    def live() -> dict[tuple[str, str], int]:
        return {(i.rule_id, i.group.get("error.code", "")): i.count for i in alert_path.incidents()}

    alert_path.await_all(alert_path.incidents, 9)
    alert_path.await_that(lambda: live() == expected, "every log is counted")
    summary = backtest(
        alert_path.settings,
        load_rules(alert_path.rules),
        began_ms,
        int(time.time() * 1000),
        source=From.KAFKA,
        report=lambda _, __: None,
    )
    assert summary.logs == 300
    found = sorted((i.rule_id, tuple(i.group.items()), i.count) for i in summary.incidents)
    assert found == sorted((i.rule_id, tuple(i.group.items()), i.count) for i in alert_path.incidents())

    for name, value in alert_path.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "http://127.0.0.1:9")
    run = CliRunner()
    story = json.loads(run.invoke(app, ["why", "l3", "--json"]).stdout)[0]
    verdicts = {verdict["rule_id"]: verdict for verdict in story["verdicts"]}
    assert story["rules_certain"]
    assert verdicts["errors"]["fits"]
    assert [c["of"] for c in verdicts["other-service"]["checks"] if not c["holds"]] == ["service.name"]
    (incident,) = story["incidents"]
    assert (incident["rule_id"], incident["state"]) == ("errors", IncidentState.FIRING.value)

    shown = run.invoke(app, ["why", incident["incident_id"]]).stdout
    assert "opened" in shown
    assert "notification open" in shown
    assert "rule set" in shown
    missing = run.invoke(app, ["why", "NOSUCHTHING"])
    assert "neither an incident nor a log" in str(missing.exception)
