"""How certificates stand as time goes by."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infra.machines.certificates import AUTHORITY_DAYS, LEAF_DAYS, Change, utc_now
from infra.machines.pending import Pending
from infra.machines.rotation.standing import Standing, State, cut_off, renewal, standings
from infra.machines.rotation.subjects import Plan, all_certificates
from infra.machines.secret_store import SecretStore
from tests.support.inventories import inventory

INVENTORY = inventory()
NOW = utc_now()


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    made = SecretStore(tmp_path / "secrets", "test", lambda: NOW)
    for file, about in all_certificates(INVENTORY).items():
        made.certificate(file, *about)
    return made


def found(store: SecretStore, tmp_path: Path, days: float) -> dict[str, Standing]:
    listed = standings(INVENTORY, store, Pending(tmp_path), NOW + timedelta(days=days))
    return {one.name: one for one in listed}


@pytest.mark.parametrize(
    ("days", "state"),
    [
        (0, State.GOOD),
        (LEAF_DAYS * 2 / 3 - 0.1, State.GOOD),
        (LEAF_DAYS * 2 / 3 + 0.1, State.DUE),
        (LEAF_DAYS - 0.1, State.DUE),
        (LEAF_DAYS + 0.1, State.EXPIRED),
    ],
)
def test_a_third_of_its_life_is_the_time_for_it(store: SecretStore, tmp_path: Path, days: float, state: State) -> None:
    listed = found(store, tmp_path, days)
    assert {one.state for name, one in listed.items() if name != "authority"} == {state}
    assert listed["authority"].state is State.GOOD
    assert cut_off(list(listed.values())) == (state is State.EXPIRED)


def test_each_is_named_with_its_machine_and_its_end(store: SecretStore, tmp_path: Path) -> None:
    Pending(tmp_path).add("producer", ["indexer"])
    listed = found(store, tmp_path, 10)
    assert list(listed) == [
        *("authority", "kafka@producer", "kafka@consumer", "elasticsearch-proxy@consumer", "indexer@producer"),
        "control",
    ]
    one = listed["indexer@producer"]
    assert (one.subject, one.machine, one.waits) == ("CN=indexer", "producer", True)
    assert not listed["kafka@producer"].waits
    assert one.ends is not None
    assert abs((one.ends - NOW) - timedelta(days=LEAF_DAYS)) < timedelta(seconds=2)
    assert one.days_left(NOW + timedelta(days=10)) == pytest.approx(LEAF_DAYS - 10, abs=0.01)


def test_what_is_missing_spoilt_or_of_another_authority(store: SecretStore, tmp_path: Path) -> None:
    store.keystore("control").unlink()
    store.keystore("indexer@producer").write_bytes(b"-----BEGIN CERTIFICATE-----nonsense")
    store.keystore("kafka@producer").write_bytes(b"x-----BEGIN CERTIFICATE-----nonsense")
    other = SecretStore(tmp_path / "other", "test").certificate("x", "kafka")
    store.keystore("kafka@consumer").write_bytes(other.keystore)
    listed = found(store, tmp_path, 0)
    assert {name: one.state for name, one in listed.items()} == {
        "authority": State.GOOD,
        "kafka@producer": State.UNREADABLE,
        "kafka@consumer": State.STRANGE,
        "elasticsearch-proxy@consumer": State.GOOD,
        "indexer@producer": State.MISSING,
        "control": State.MISSING,
    }
    assert renewal(list(listed.values()), Change.NONE, NOW) == Plan(
        certificates=("kafka@producer", "kafka@consumer", "indexer@producer", "control")
    )


def test_the_authority_takes_all_with_it(store: SecretStore, tmp_path: Path) -> None:
    everything = tuple(all_certificates(INVENTORY))
    early = list(found(store, tmp_path, 0).values())
    assert renewal(early, Change.NONE, NOW) == Plan()
    assert renewal(early, Change.TRUSTED, NOW) == Plan(certificates=everything, authority=True)
    late = NOW + timedelta(days=AUTHORITY_DAYS * 2 / 3 + 1)
    assert renewal(_at(store, tmp_path, late), Change.NONE, late).authority


def test_more_days_ask_for_more(store: SecretStore, tmp_path: Path) -> None:
    listed = list(found(store, tmp_path, 0).values())
    assert renewal(listed, Change.NONE, NOW, LEAF_DAYS - 1) == Plan()
    assert renewal(listed, Change.NONE, NOW, LEAF_DAYS + 1).certificates == tuple(all_certificates(INVENTORY))
    assert not renewal(listed, Change.NONE, NOW, LEAF_DAYS + 1).authority


def _at(store: SecretStore, tmp_path: Path, now: datetime) -> list[Standing]:
    return standings(INVENTORY, store, Pending(tmp_path), now)
