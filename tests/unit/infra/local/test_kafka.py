from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.kafka import bootstrap, cluster_id, server_properties
from streaming.errors import ConfigError
from streaming.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, kafka_port=19092, kafka_controller_port=19093, bind_host="127.0.0.1")


def test_one_broker_keeps_one_copy(settings: Settings, tmp_path: Path) -> None:
    properties = server_properties(settings, 1, 1, tmp_path / "data")
    assert properties["listeners"] == "CLIENT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:19093"
    assert properties["log.dirs"] == str(tmp_path / "data")
    assert properties["auto.create.topics.enable"] == "false"
    assert {properties[key] for key in properties if key.endswith(("replication.factor", "min.isr"))} == {"1"}


def test_three_brokers_keep_three_copies_of_which_two_must_be_written(settings: Settings, tmp_path: Path) -> None:
    nodes = [server_properties(settings, 3, node, tmp_path) for node in (1, 2, 3)]
    assert {node["transaction.state.log.replication.factor"] for node in nodes} == {"3"}
    assert {node["transaction.state.log.min.isr"] for node in nodes} == {"2"}
    assert len({node["controller.quorum.voters"] for node in nodes}) == 1
    ports = [listener.rsplit(":", 1)[1] for node in nodes for listener in node["listeners"].split(",")]
    assert len(set(ports)) == 6
    assert bootstrap(settings, 3) == "127.0.0.1:19092,127.0.0.1:19094,127.0.0.1:19096"


def test_nodes_that_start_together_agree_on_one_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        ids = set(pool.map(lambda _: cluster_id(tmp_path, 3), range(9)))
    assert len(ids) == 1
    (one,) = ids
    assert len(one) == 22  # 16 bytes in base64
    assert not one.startswith("-")


def test_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    cluster_id(tmp_path, 1)
    with pytest.raises(ConfigError, match="this Kafka has 1 broker, not 3"):
        cluster_id(tmp_path, 3)
