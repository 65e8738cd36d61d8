"""What is decided about servers that came back empty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.backups import Backup
from infra.machines.inventory import Inventory, parse
from infra.machines.repair import is_cluster_lost, losses, must_index_again, must_restore
from infra.machines.standing import Standing
from tests.support import inventories

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BACKUP = Backup("vigil-backup-20261126T110000Z.zst", NOW - timedelta(hours=1))
TWO = inventories.inventory()
HERE = Standing("mine", "uuid")


def three() -> Inventory:
    machines = {
        name: {"address": f"10.77.0.{number}", "roles": roles}
        for number, (name, roles) in enumerate(
            {
                "a": ["controller", "broker", "indexing", "collecting"],
                "b": ["controller", "broker", "elasticsearch", "alerting"],
                "c": ["controller", "broker", "elasticsearch", "standby"],
            }.items(),
            11,
        )
    }
    return parse({"deployment": "vigil", "network": "10.77.0.0/24", "machines": machines}, "test")


@pytest.mark.parametrize(
    ("disks", "standing", "lost"),
    [
        ({"producer": None, "consumer": None}, Standing(), False),  # the first deployment
        ({"producer": "mine", "consumer": None}, Standing(), False),  # and one that was cut off
        ({"producer": "mine", "consumer": "mine"}, HERE, False),
        ({"producer": "mine", "consumer": None}, HERE, False),  # a broker gets its copies from the other
        ({"producer": None, "consumer": "mine"}, HERE, True),
        ({"producer": None, "consumer": "mine"}, Standing(), True),  # also where this host's memory is lost
        ({"producer": None, "consumer": None}, HERE, True),  # both machines
        ({"producer": "other", "consumer": "mine"}, HERE, True),
        # After it was forgotten: the new cluster has not been there yet, so nothing of it can be lost.
        ({"producer": None, "consumer": "older"}, Standing("older", "uuid"), False),
    ],
)
def test_a_cluster_is_lost_with_its_controllers(disks: dict[str, str | None], standing: Standing, lost: bool) -> None:
    assert is_cluster_lost(TWO, "mine", standing, disks) is lost


@given(st.sets(st.sampled_from("abc")))
def test_of_three_controllers_one_may_be_lost(gone: set[str]) -> None:
    disks = {name: None if name in gone else "mine" for name in "abc"}
    assert is_cluster_lost(three(), "mine", HERE, disks) is (len(gone) > 1)


def test_what_is_due_stays_due_until_it_is_done() -> None:
    assert not must_restore("mine", Standing())
    assert not must_restore("mine", HERE)
    assert must_restore("next", HERE)
    assert not must_index_again("uuid", Standing())
    assert not must_index_again("uuid", HERE)
    assert must_index_again("another", HERE)


def test_losses_are_named_by_what_the_machine_was_for() -> None:
    consumer = losses(TWO, ["consumer"], BACKUP, NOW)
    assert [line.split(" ")[0] for line in consumer] == ["records", "documents"]
    producer = losses(TWO, ["producer"], BACKUP, NOW)
    assert f"{BACKUP.name}, which is 60 min old" in producer[0]
    assert any("spools" in line for line in producer)
    assert not any("past reports" in line for line in producer)
    assert "There is no backup" in losses(TWO, ["producer"], None, NOW)[0]
    assert losses(TWO, [], None, NOW) == ()
    assert losses(three(), ["c"], None, NOW)[-1] == "documents whose only copy was there"


@pytest.mark.parametrize(
    ("age", "said"),
    [(timedelta(minutes=5), "5 min"), (timedelta(hours=5), "5 h"), (timedelta(days=9), "9 days")],
)
def test_the_age_of_a_backup_is_said(age: timedelta, said: str) -> None:
    assert f"is {said} old" in losses(TWO, ["producer"], Backup("x", NOW - age), NOW)[0]
