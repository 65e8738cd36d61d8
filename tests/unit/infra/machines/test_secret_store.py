"""The secrets of a deployment: made once, private, renewed when they must be."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from infra.machines.certificates import LEAF_DAYS, utc_now
from infra.machines.secret_store import SecretStore
from streaming.errors import ConfigError


def test_they_are_made_once_and_nobody_else_reads_them(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets", "test")
    first = store.passwords(["indexer", "matcher"])
    issued = store.certificate("kafka@producer", "kafka", ["10.77.0.11", "producer"])
    again = SecretStore(tmp_path / "secrets", "test")
    assert again.passwords(["matcher", "indexer"]) == first
    assert len(set(first.values())) == 2
    assert again.certificate("kafka@producer", "kafka", ["producer", "10.77.0.11"]) == issued
    assert again.cluster_id == store.cluster_id
    private = [path for path in (tmp_path / "secrets").rglob("*") if path.is_file() and path.name != "ca.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_certificate_is_issued_anew_for_another_name_and_in_time(tmp_path: Path) -> None:
    days = [0.0]
    store = SecretStore(tmp_path, "test", lambda: utc_now() + timedelta(days=days[0]))
    first = store.certificate("one", "kafka", ["10.77.0.11"])
    assert store.certificate("one", "kafka", ["10.77.0.12"]) != first
    second = store.certificate("one", "kafka", ["10.77.0.12"])
    assert store.certificate("one", "other", ["10.77.0.12"]) != second

    third = store.certificate("one", "other", ["10.77.0.12"])
    assert store.certificate("one", "other", ["10.77.0.12"]) == third
    days[0] = LEAF_DAYS * 2 / 3 - 1
    assert store.certificate("one", "other", ["10.77.0.12"]) == third
    days[0] = LEAF_DAYS * 2 / 3 + 1
    fourth = store.certificate("one", "other", ["10.77.0.12"])
    assert fourth != third
    days[0] += LEAF_DAYS + 1
    assert store.certificate("one", "other", ["10.77.0.12"]) != fourth, "expired"


def test_certificates_follow_the_authority_that_signs(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, "test")
    first = store.certificate("one", "kafka")
    store.issuer.begin_change()
    assert store.certificate("one", "kafka") == first
    store.issuer.sign_by_next()
    second = store.certificate("one", "kafka")
    assert second != first
    store.issuer.end_change()
    assert store.certificate("one", "kafka") == second
    assert store.kept_certificate("one") == second
    assert store.kept_certificate("two") is None
    assert store.issue_certificate("one", "kafka") != second


def test_a_program_that_runs_on_sees_what_another_has_rotated(tmp_path: Path) -> None:
    running, rotating = SecretStore(tmp_path, "test"), SecretStore(tmp_path, "test")
    assert running.passwords(["control"]) == rotating.passwords(["control"])
    assert running.certificate("control", "control") == rotating.certificate("control", "control")
    rotating.next_passwords(["control"])
    rotating.take_next_passwords()
    rotating.issuer.begin_change()
    rotating.issuer.sign_by_next()
    issued = rotating.certificate("control", "control")
    rotating.issuer.end_change()
    assert running.passwords(["control"]) == rotating.passwords(["control"])
    assert running.certificate("control", "control") == issued, "not one that the old authority signs"


def test_a_password_is_kept_before_anybody_knows_it(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, "test")
    before = store.passwords(["indexer", "matcher"])
    following = store.next_passwords(["indexer"])
    assert set(following) == {"indexer"}
    assert following["indexer"] != before["indexer"]
    again = SecretStore(tmp_path, "test")
    assert again.passwords(["indexer"]) == {"indexer": before["indexer"]}
    assert again.next_passwords(["indexer"]) == following, "a run that was killed may have given it to Kafka"
    assert again.next_passwords(["matcher"]) == following | again.next_passwords([])
    assert set(again.next_passwords([]).values()) <= again.values()
    taken = again.next_passwords([])
    again.take_next_passwords()
    assert again.passwords(["indexer", "matcher"]) == taken
    assert SecretStore(tmp_path, "test").next_passwords([]) == {}


def test_what_is_renewed_is_another_and_the_rest_stays(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, "test")
    before, cluster = store.passwords(["indexer", "matcher"]), store.cluster_id
    store.next_passwords(["indexer"])
    store.take_next_passwords()
    store.forget_cluster()
    after = SecretStore(tmp_path, "test")
    assert after.passwords(["indexer"]) != {"indexer": before["indexer"]}
    assert after.passwords(["matcher"]) == {"matcher": before["matcher"]}
    assert after.cluster_id != cluster
    assert after.forgotten_clusters == (cluster,)


def test_all_that_must_not_be_seen_is_known(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, "test")
    password = store.passwords(["indexer"])["indexer"]
    issued = store.certificate("one", "kafka")
    assert password in store.values()
    assert any(value in issued.key.decode() for value in store.values())
    assert not any(value in issued.chain.decode() for value in store.values())


@pytest.mark.parametrize("content", [b"{", b'{"passwords": {"a": "hush"}}'])
def test_a_spoilt_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    SecretStore(tmp_path, "test")
    (tmp_path / "secrets.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"secrets\.json.*no file of secrets") as refused:
        SecretStore(tmp_path, "test")
    assert "hush" not in str(refused.value)
    (tmp_path / "secrets.json").chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        SecretStore(tmp_path, "test")
