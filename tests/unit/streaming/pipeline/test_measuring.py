"""What the monitor measures is what the workers read."""

from __future__ import annotations

import pytest

from streaming.alerting.manager.inputs import TOPICS
from streaming.kafka import topics
from streaming.pipeline import measuring, monitor
from streaming.pipeline.measuring import READS
from streaming.pipeline.monitor import PipelineMonitor
from streaming.settings import Settings


def test_each_worker_is_measured_on_the_topics_that_it_reads() -> None:
    assert sorted(READS["manager"]) == sorted(TOPICS)
    assert {name for read in READS.values() for name in read} <= {topic.name for topic in topics.CATALOGUE}


def test_while_kafka_is_away_the_monitor_waits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WITHIN_S", 0.2)
    monkeypatch.setattr(monitor, "NEW_CLIENTS_AFTER_S", 0.3)
    nobody = Settings(kafka_port=1, pipeline_interval_s=0.01)
    watch = PipelineMonitor(nobody)
    try:
        for _ in range(6):
            watch.run_once()
        check = watch.health.answer()["checks"]["kafka"]
        assert not check["ok"]
        assert "Kafka at 127.0.0.1:1 does not answer" in check["detail"]
    finally:
        watch.close()
