"""A server that goes away behind the gate: the task fails with what to do about it, and a re-run completes."""

from __future__ import annotations

import json
import time

import pytest
from vigil_airflow import hooks

from infra.gates import Probe
from streaming.dead_letters.document import document, document_id
from streaming.dead_letters.reading import LetterReader
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.kafka import clients
from streaming.kafka.topics import DEAD_LETTERS, LOGS
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag

NOBODY = "127.0.0.1:1"
"""Port 1 (tcpmux) takes no connection on a machine that is not decades old."""


@pytest.fixture
def away(settings: Settings, meant_up: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings by which neither server answers; the gate, which asked before, found both."""
    monkeypatch.setattr("infra.gates.probe", lambda service, settings, timeout_s: Probe(True, "answers"))
    monkeypatch.setattr("streaming.kafka.ranges.ASK_WITHIN_S", 1.0)
    return settings.model_copy(update={"kafka_bootstrap": NOBODY, "elasticsearch_url": f"http://{NOBODY}"})


def one_letter(settings: Settings) -> None:
    """A dead letter, and its document."""
    value = json.dumps({"node_id": "n", "log_level": "INFO", "message": "m", "log_id": "l"}).encode()
    headers = [("reason", b"json"), ("detail", b"d"), ("worker", b"indexer"), ("topic", settings.topic(LOGS).encode())]
    out = clients.producer(settings.kafka)
    out.produce(settings.topic(DEAD_LETTERS), value, "n", headers=[*headers, ("partition", b"0"), ("offset", b"0")])
    assert out.flush(20) == 0
    with LetterReader(settings) as reader:
        (letter,) = reader.scan()
    connection = Connection(settings.elastic)
    index = mapping.dead_letters_pattern(settings.index_prefix).replace("*", time.strftime("%Y.%m.%d", time.gmtime()))
    connection.request("PUT", f"/{index}")
    path = f"/{index}/_doc/{document_id(letter)}?refresh=true"
    checked(connection.json("PUT", path, document(letter, time.time_ns())), "writing its document")
    connection.close()


@pytest.mark.parametrize(
    ("dag_id", "task", "conf", "says"),
    [
        ("upgrade_index_templates", "install_index_templates", {}, "Elasticsearch at http://127.0.0.1:1"),
        ("rules_backtest", "backtest", {"since": "1h"}, "Kafka at 127.0.0.1:1"),
        ("dead_letter_replay", "preview", {}, "127.0.0.1:1"),
    ],
)
def test_the_reason_is_told_and_a_re_run_completes(
    run_dag: RunDag,
    settings: Settings,
    away: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dag_id: str,
    task: str,
    conf: dict[str, object],
    says: str,
) -> None:
    if dag_id == "dead_letter_replay":
        one_letter(settings)
        monkeypatch.setattr("vigil_airflow.operators.dead_letters.INDEXED_WITHIN_S", 0.0)  # no indexer runs here
    monkeypatch.setattr(hooks, "load_settings", lambda: away)
    capsys.readouterr()
    assert run_dag(dag_id, conf, approved="approve").tasks[task] == "failed"
    told = capsys.readouterr().out
    assert says in told
    assert "`vigil status`" in told or "does not answer" in told
    monkeypatch.setattr(hooks, "load_settings", lambda: settings)
    assert run_dag(dag_id, conf, approved="approve").state == "success"
