"""`back_up` on a real Kafka: a whole file in the platform's own folder, and none where something is missing."""

from __future__ import annotations

from streaming.backup import archive
from streaming.kafka.clients import producer
from streaming.kafka.topics import AUDIT
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag


def test_a_backup_is_kept_in_the_platforms_folder(run_dag: RunDag, settings: Settings, meant_up: None) -> None:
    out = producer(settings.kafka)
    out.produce(settings.topic(AUDIT), b"an order", b"key")
    out.flush(10)
    ran = run_dag("back_up")
    assert ran.state == "success"
    (file,) = (settings.home / "backups").iterdir()
    assert ran.returned["back_up"] == {"file": str(file), "records": 1}
    _, entry = archive.read(file)
    assert isinstance(entry, archive.Entry)
    assert (entry.topic, entry.value) == (AUDIT, b"an order")
