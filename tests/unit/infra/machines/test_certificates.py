"""Certificates of a deployment: a real TLS handshake between two of them, files of the right mode, time left."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.machines.certificates import AUTHORITY_DAYS, LEAF_DAYS, Authority, Change, Issued, life
from streaming.errors import ConfigError


def shake_hands(folder: Path, server: Issued, client: Issued, trusted: Path, name: str) -> str:
    """TLS in memory, where both show a certificate; the common name of the client as the server sees it."""
    for issued, file in ((server, "server"), (client, "client")):
        (folder / file).write_bytes(issued.keystore)
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    there.verify_mode = ssl.CERT_REQUIRED
    for context, file in ((there, "server"), (here, "client")):
        context.load_cert_chain(folder / file)
        context.load_verify_locations(trusted)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = here.wrap_bio(down, up, server_hostname=name)
    answering = there.wrap_bio(up, down, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in {asking, answering} - done:
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    found = answering.getpeercert()
    assert found is not None
    return str(dict(part[0] for part in found["subject"])["commonName"])  # type: ignore[misc]


def test_both_sides_are_known_by_name_and_by_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "test")
    server = authority.issue("kafka", ["10.77.0.11", "127.0.0.1", "producer"])
    client = authority.issue("indexer")
    for name in ("10.77.0.11", "127.0.0.1", "producer"):
        assert shake_hands(tmp_path, server, client, authority.certificate_path, name) == "indexer"
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(tmp_path, server, client, authority.certificate_path, "10.77.0.12")


def test_another_authority_is_not_trusted_and_an_expired_leaf_neither(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ca", "test"), Authority(tmp_path / "other", "test")
    server, client = ours.issue("kafka", ["producer"]), other.issue("indexer")
    with pytest.raises(ssl.SSLError):
        shake_hands(tmp_path, server, client, ours.certificate_path, "producer")
    expired = ours.issue("kafka", ["producer"], days=-1 / 24 / 60)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(tmp_path, expired, ours.issue("indexer"), ours.certificate_path, "producer")


def test_an_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    first = Authority(folder, "test").certificate_path.read_bytes()
    assert Authority(folder, "test").certificate_path.read_bytes() == first
    assert stat.S_IMODE((folder / "ca-key.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem"]
    assert "PRIVATE" not in repr(Authority(folder, "test").issue("x"))


@pytest.mark.parametrize("spoilt", ["ca.pem", "ca-key.pem"])
def test_half_an_authority_is_never_made_whole_again(tmp_path: Path, spoilt: str) -> None:
    """A new authority beside certificates of the old one would cut every machine off from the others."""
    folder = tmp_path / "ca"
    Authority(folder, "test")
    Authority(tmp_path / "other", "test")
    (folder / spoilt).replace(tmp_path / spoilt)
    with pytest.raises(ConfigError, match="Restore both files"):
        Authority(folder, "test")
    (folder / spoilt).write_bytes((tmp_path / "other" / spoilt).read_bytes())
    with pytest.raises(ConfigError, match="do not belong together"):
        Authority(folder, "test")
    (folder / spoilt).write_text("nonsense")
    with pytest.raises(ConfigError, match="cannot be used"):
        Authority(folder, "test")


def test_it_is_due_when_a_third_of_its_life_is_left(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    found = life(Authority(tmp_path, "test").issue("x").chain)
    assert LEAF_DAYS - 0.1 < found.left(now) <= LEAF_DAYS
    assert found.left(now + timedelta(days=LEAF_DAYS + 1)) < 0
    assert not found.due(now + timedelta(days=LEAF_DAYS * 2 / 3 - 0.1))
    assert found.due(now + timedelta(days=LEAF_DAYS * 2 / 3 + 0.1))


def trusts(folder: Path, authority: Authority, trusted: bytes, server: Issued, client: Issued) -> bool:
    """Whether two that trust these certificates, and show these, come together."""
    file = folder / "trusted.pem"
    file.write_bytes(trusted)
    try:
        return shake_hands(folder, server, client, file, "producer") == "indexer"
    except ssl.SSLError:
        return False


def stage(authority: Authority) -> Change:
    return authority.change


def test_another_authority_follows_without_a_moment_in_which_something_is_cut_off(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "test")

    def leaves() -> tuple[Issued, Issued]:
        return authority.issue("kafka", ["producer"]), authority.issue("indexer")

    def trusted() -> bytes:
        return authority.certificate_path.read_bytes()

    first, only_first = leaves(), trusted()
    authority.begin_change()
    assert stage(authority) is Change.TRUSTED
    both = trusted()
    # Where the news has come, and where it has not: all are still of the first.
    assert all(trusts(tmp_path, authority, which, *first) for which in (only_first, both))
    assert authority.signed(leaves()[0].chain)
    assert authority.signed(first[0].chain)

    authority.sign_by_next()
    assert stage(authority) is Change.SIGNS
    assert trusted() == both
    second = leaves()
    assert authority.signed(second[0].chain)
    assert not authority.signed(first[0].chain)
    assert all(trusts(tmp_path, authority, both, a[0], b[1]) for a in (first, second) for b in (first, second))
    assert not trusts(tmp_path, authority, only_first, *second), "so nothing new is shown before all trust both"

    authority.end_change()
    assert stage(authority) is Change.NONE
    assert trusts(tmp_path, authority, trusted(), *second)
    assert not trusts(tmp_path, authority, trusted(), *first)
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca-key.pem", "ca.pem"]


def test_a_change_goes_on_where_it_was_and_no_step_is_done_twice(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    Authority(folder, "test").begin_change()
    Authority(folder, "test").begin_change()
    assert len(folder.joinpath("ca.pem").read_text().split("BEGIN")) == 3
    Authority(folder, "test").end_change()
    assert Authority(folder, "test").change is Change.TRUSTED, "the next one has to sign first"
    for _ in range(2):
        Authority(folder, "test").sign_by_next()
        assert Authority(folder, "test").change is Change.SIGNS
    Authority(folder, "test").begin_change()
    assert Authority(folder, "test").change is Change.SIGNS
    for _ in range(2):
        Authority(folder, "test").end_change()
        Authority(folder, "test").sign_by_next()
        assert Authority(folder, "test").change is Change.NONE
    # Killed between the two files of the first step.
    (folder / "next-ca-key.pem").write_bytes((folder / "ca-key.pem").read_bytes())
    assert Authority(folder, "test").change is Change.NONE
    Authority(folder, "test").begin_change()
    assert Authority(folder, "test").change is Change.TRUSTED


def test_nothing_outlives_its_authority(tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=AUTHORITY_DAYS - 10)
    Authority(tmp_path, "test")
    found = life(Authority(tmp_path, "test", lambda: later).issue("x").chain)
    assert found.left(later) < 10.1
    with pytest.raises(ConfigError, match=r"expired.*rotate authority"):
        Authority(tmp_path, "test", lambda: later + timedelta(days=11)).issue("x")
