"""What of a machine has to be restarted when something changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.machines.administration import Differences, Wanted, affected
from streaming.decoding import decode
from tests.support.inventories import inventory

PRODUCER = inventory().instances("producer")
ALL = [instance.service for instance in PRODUCER]


@pytest.mark.parametrize(
    ("changed", "restarted"),
    [
        ([], []),
        (["files/vigil.env"], ALL),
        (["files/ca.pem"], [one for one in ALL if one not in ("order", "payment", "inventory", "loadgen")]),
        (["files/something-new"], ALL),
        (["files/env/indexer.env"], ["indexer"]),
        (["files/tls/indexer.pem"], ["indexer"]),
        (["files/kafka/server.properties"], ["kafka"]),
        (["files/kafka/creation.properties", "files/brokers.env"], []),
        (["files/fluentd/fluent2.conf"], ["accumulator2"]),
        (["files/fluentd/shared.conf"], ["accumulator1", "accumulator2", "accumulator3"]),
        (["files/rules/errors.yaml"], []),
        (["credentials/manager.kafka_password"], ["manager"]),
        (["credentials/manager.kafka_password", "credentials/kafka.keystore"], ["kafka", "manager"]),
        (["credentials/elasticsearch-proxy.keystore"], []),
        (["units/vigil-manager-standby.service"], ["manager"]),
        (["units/vigil-manager.service", "units/vigil.target"], []),
    ],
)
def test_only_what_reads_it_is_restarted(changed: list[str], restarted: list[str]) -> None:
    assert [instance.service for instance in affected(changed, PRODUCER)] == restarted


ENTRIES = st.lists(st.text("files/unitscredl.gvkaetn", max_size=20), max_size=4)


@settings(max_examples=50)
@given(ENTRIES, ENTRIES)
def test_more_changes_restart_more(some: list[str], more: list[str]) -> None:
    few, many = affected(some, PRODUCER), affected([*some, *more], PRODUCER)
    assert set(few) <= set(many)
    assert many == [instance for instance in PRODUCER if instance in many]


def test_secrets_are_sent_and_not_shown() -> None:
    wanted = Wanted({"vigil.env": "A=1"}, {"indexer.kafka_password": "hunter2"}, {})
    assert "hunter2" not in repr(wanted)
    sent = decode(wanted.encoded(), dict[str, dict[str, str]])
    assert sent == {"files": {"vigil.env": "A=1"}, "credentials": {"indexer.kafka_password": "hunter2"}, "units": {}}


def test_no_difference_is_false() -> None:
    assert not Differences((), ())
    assert Differences(("files/x",), ())
