"""`rules_backtest` over logs in a real Kafka."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients
from streaming.kafka.topics import LOGS
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag

STRICT = (
    "rules: [{id: errors, kind: match, where: {levels: [ERROR]}, group_by: [service.name], severity: error, title: e}]"
)
LAX = STRICT.replace("ERROR", "FATAL")


def write(settings: Settings, *levels: str) -> None:
    out = clients.producer(settings.kafka)
    for number, level in enumerate(levels):
        record = {
            "log_id": f"l{number}",
            "node_id": "n",
            "log_level": level,
            "message": "no",
            "service_name": f"s{number}",
            "error_details": {"error_code": "E", "error_message": "e"},
        }
        header = coordinates.encode(Coordinates("acc", "inc", number, 0, time.time_ns(), 0, "app"))
        out.produce(settings.topic(LOGS), json.dumps(record), "n", headers=[(coordinates.HEADER, header)])
    assert out.flush(20) == 0


@pytest.mark.usefixtures("meant_up")
def test_a_rule_set_is_tried_and_then_compared_with_another(
    run_dag: RunDag, settings: Settings, tmp_path: Path
) -> None:
    rules = tmp_path / "tried.yaml"
    rules.write_text(STRICT, encoding="utf-8")
    write(settings, "ERROR", "INFO", "ERROR", "FATAL")
    ran = run_dag("rules_backtest", {"rules": str(rules), "since": "1h"})
    assert ran.state == "success"
    first = ran.returned["backtest"]
    assert (first["incidents"], first["compared_with"]) == (2, None)

    rules.write_text(LAX, encoding="utf-8")
    second = run_dag("rules_backtest", {"rules": str(rules), "since": "1h"}).returned["backtest"]
    assert (second["incidents"], second["compared_with"]) == (1, first["version"])
    folder = Path(second["folder"])
    assert {file.name for file in folder.iterdir()} == {"backtest.html", "backtest.pdf", "backtest.json"}
    assert folder.joinpath("backtest.pdf").read_bytes().startswith(b"%PDF")
    assert f"compared with {first['version']}" in folder.joinpath("backtest.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("meant_up")
def test_broken_rules_fail_with_their_place(run_dag: RunDag, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = tmp_path / "broken.yaml"
    rules.write_text("rules:\n  - {id: x, kind: moon}\n", encoding="utf-8")
    assert run_dag("rules_backtest", {"rules": str(rules)}).tasks["backtest"] == "failed"
