"""The steps of a repair: each does what is due, once, also when the one before was cut off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra import backups
from infra.machines import repairing, standing
from infra.machines.placement import Instance
from infra.machines.standing import Standing
from infra.machines.systemd import Seen
from infra.machines.target import Machines
from infra.machines.unreachable import MachineUnavailable, Server, Trouble
from infra.service_manager import RunState, ServiceStatus
from streaming.backup.dump import Summary
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support import inventories


class Place:
    """Two machines of which only the disks of Kafka and the states of services are told."""

    def __init__(self, folder: Path) -> None:
        self.machines = Machines(Settings(home=folder), inventories.inventory(), folder)
        self.disks: dict[str, str | None] = {}
        self.states: dict[tuple[str, str], RunState] = {}
        self.stopped: list[str] = []
        self.said: list[str] = []
        self.machines.__dict__ |= {"administration": self, "manager": self}

    def kafka_disk(self, machine: str) -> str | None:
        return self.disks[machine]

    def survey(self) -> list[Seen]:
        found = [Seen(Instance(*at), ServiceStatus("x", state, None, "")) for at, state in self.states.items()]
        away = MachineUnavailable(Server("x", "h", 22, "u"), Trouble.UNREACHABLE, "no way", "wait")
        return [*found, Seen(Instance("order", "x"), away)]

    def stop(self, name: str) -> None:
        self.stopped.append(name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_cluster_that_is_there_is_left_alone(place: Place) -> None:
    cluster = place.machines.store.cluster_id
    place.disks = {"producer": cluster, "consumer": None}
    assert repairing.prepare(place.machines, place.said.append) == ()
    assert (place.stopped, place.said, place.machines.store.cluster_id) == ([], [], cluster)


def test_of_a_lost_cluster_workers_stop_first_and_the_next_one_is_told_of_it(place: Place) -> None:
    cluster = place.machines.store.cluster_id
    place.disks = {"producer": None, "consumer": cluster}
    place.states = {
        ("kafka", "consumer"): RunState.RUNNING,
        ("elasticsearch", "consumer"): RunState.RUNNING,
        ("manager", "consumer"): RunState.STARTING,
        ("matcher", "consumer"): RunState.FAILED,
    }
    lost = repairing.prepare(place.machines, place.said.append)
    assert place.stopped == ["manager@consumer", "kafka@consumer"]
    assert "There is no backup" in lost[0]
    assert "is lost with the disk of producer;" in place.said[0]
    assert place.machines.store.forgotten_clusters == (cluster,)
    assert standing.load(place.machines.folder) == Standing(kafka=cluster)
    assert repairing.prepare(place.machines, place.said.append) == ()  # the disks are as before, the deployment is not


def test_the_newest_backup_is_put_back_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[Path] = []

    def restore(_: Settings, path: Path, *, force: bool) -> Summary:
        assert force  # behind what an attempt that was cut off has written
        put.append(path)
        return Summary(str(path), {"audit": 3})

    monkeypatch.setattr(repairing, "restore", restore)
    machines = place.machines
    repairing.restore_kafka(machines, place.said.append)  # the first deployment
    assert put == []
    assert standing.load(machines.folder).kafka == machines.store.cluster_id

    machines.store.forget_cluster()
    proven = machines.folder / "verify" / "vigil.json"
    backup = backups.folder_of(machines.folder) / backups.name_at(datetime.now(UTC))
    for file in (proven, backup):
        file.parent.mkdir()
        file.touch()
    repairing.restore_kafka(machines, place.said.append)
    assert put == [backup]
    assert not proven.exists()
    repairing.restore_kafka(machines, place.said.append)
    assert len(put) == 1

    machines.store.forget_cluster()
    backup.unlink()
    repairing.restore_kafka(machines, place.said.append)
    assert place.said[-1] == "there is no backup to put into the new cluster: its topics begin empty"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda uuid: monkeypatch.setattr(repairing, "elasticsearch_uuid", lambda _: uuid)


def test_an_elasticsearch_that_came_back_empty_is_given_everything_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, found: Callable[[str], None]
) -> None:
    forgotten: list[str] = []

    def forget(_: Machines) -> None:
        assert place.stopped == ["indexer"], "a member would keep its group"
        if not forgotten:
            forgotten.append("cut off")
            raise KeyboardInterrupt
        forgotten.append("done")

    monkeypatch.setattr(repairing, "forget_offsets", forget)
    for uuid in ("first", "first"):
        found(uuid)
        repairing.index_again(place.machines, place.said.append)
    assert place.stopped == []
    found("second")
    with pytest.raises(KeyboardInterrupt):
        repairing.index_again(place.machines, place.said.append)
    place.stopped.clear()
    for _ in range(2):
        repairing.index_again(place.machines, place.said.append)
    assert forgotten == ["cut off", "done"]
    assert any(line.startswith("lost: documents of logs that Kafka does not keep") for line in place.said)


def test_what_is_remembered_is_forgotten_with_a_teardown_and_named_when_it_is_spoilt(tmp_path: Path) -> None:
    standing.save(tmp_path, Standing("a", "b"))
    assert standing.load(tmp_path) == Standing("a", "b")
    standing.forget(tmp_path)
    assert standing.load(tmp_path) == Standing()
    (tmp_path / "standing.json").write_text("[")
    with pytest.raises(ConfigError, match=r"standing\.json: what is remembered"):
        standing.load(tmp_path)
