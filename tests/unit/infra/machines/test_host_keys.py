"""Host keys out of a serial console, and pinned."""

from __future__ import annotations

import base64
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.machines.host_keys import BEGIN, END, forget, host_keys, pin, pinned
from streaming.errors import ConfigError


def made(kind: str = "ssh-ed25519") -> str:
    key = asyncssh.generate_private_key(kind)
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


ONE, TWO, NIST = made(), made(), made("ecdsa-sha2-nistp256")


def block(*keys: str) -> str:
    return "\n".join([BEGIN, *(f"{key} root@producer" for key in keys), END, ""])


def test_the_keys_of_a_block() -> None:
    assert host_keys(f"booting\n{block(NIST, ONE)}producer login: ") == (NIST, ONE)


def test_noise_of_the_console_is_read_over() -> None:
    lines = [
        f"[   12.345678] cloud-init[401]: {BEGIN}",
        f"[   12.4] cloud-init[401]: {NIST} root@producer",
        "[   12.41] random: crng init done",
        f"\x1b[0;1m{ONE}\x1b[0m",
        f"ci-info: {ONE} root@producer",
        f"<14>Nov 26 12:00:01 cloud-init: {END}",
    ]
    assert host_keys("\r\n".join(lines) + "\r\n") == (NIST, ONE)


def test_the_last_whole_block_counts() -> None:
    assert host_keys(block(ONE) + block(TWO)) == (TWO,)
    assert host_keys(block(ONE) + block(TWO).removesuffix(f"{END}\n")) == (ONE,)
    assert host_keys(f"{BEGIN}\n{ONE} x\n" + block(TWO)) == (TWO,)
    assert host_keys(f"{END}\n{ONE}\n{BEGIN}\n") == ()
    assert host_keys("") == ()


def test_what_is_no_key_of_its_type_is_left_out() -> None:
    kind, encoded = ONE.split()
    longer = base64.b64encode(base64.b64decode(encoded) + b"\0\0\0").decode()
    wrong = [
        f"ssh-rsa {encoded}",
        f"{kind} {encoded[:-6]}",
        f"{kind} {longer}",
        f"{kind} {'A' * 68}",
        f"{kind} !{encoded}",
    ]
    assert host_keys(block(*wrong, TWO)) == (TWO,)


@given(st.lists(st.sampled_from([*"\r\n\t []:-", BEGIN, END, ONE, TWO, "\x1b[0m"]), max_size=60))
def test_only_real_keys_come_out_of_any_console(pieces: list[str]) -> None:
    assert set(host_keys("".join(pieces))) <= {ONE, TWO}


@given(st.lists(st.sampled_from([ONE, TWO, NIST]), unique=True), st.integers(1, 200), st.booleans())
def test_prefixes_and_line_ends_change_nothing(keys: list[str], seconds: int, returns: bool) -> None:
    lines = (f"[{seconds:5}.{n:06}] cloud-init[9]: {line}" for n, line in enumerate(block(*keys).splitlines()))
    assert host_keys(("\r\n" if returns else "\n").join(lines)) == tuple(keys)


def encoded(keys: list[asyncssh.SSHKey]) -> list[str]:
    return [" ".join(key.export_public_key("openssh").decode().split()[:2]) for key in keys]


def test_keys_are_pinned_for_host_and_port_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    pin(file, {("127.0.0.1", 2211): [ONE, NIST], ("10.0.0.5", 22): [TWO]})
    assert file.read_text() == f"[127.0.0.1]:2211 {ONE}\n[127.0.0.1]:2211 {NIST}\n10.0.0.5 {TWO}\n"
    assert encoded(pinned(file, "127.0.0.1", 2211)) == [ONE, NIST]
    assert encoded(pinned(file, "10.0.0.5", 22)) == [TWO]
    for host, port in (("127.0.0.1", 2212), ("127.0.0.1", 22), ("10.0.0.5", 2211), ("10.0.0.6", 22)):
        assert pinned(file, host, port) == []


def test_a_machine_made_anew_gets_its_new_keys_and_others_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"# mine\nexample.org,10.1.1.1 {TWO} comment\n")
    pin(file, {("127.0.0.1", 2211): [ONE]})
    pin(file, {("127.0.0.1", 2211): [NIST]})
    assert encoded(pinned(file, "127.0.0.1", 2211)) == [NIST]
    assert encoded(pinned(file, "example.org", 22)) == [TWO]
    assert file.read_text().startswith("# mine\n")
    before = file.stat().st_ino
    pin(file, {("127.0.0.1", 2211): [NIST]})
    assert file.stat().st_ino == before
    forget(file, [("127.0.0.1", 2211)])
    assert pinned(file, "127.0.0.1", 2211) == []
    assert encoded(pinned(file, "10.1.1.1", 22)) == [TWO]
    forget(tmp_path / "none", [("127.0.0.1", 1)])


def test_a_revoked_key_is_not_trusted(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"10.0.0.5 {ONE}\n10.0.0.5 {TWO}\n@revoked * {ONE}\n")
    assert encoded(pinned(file, "10.0.0.5", 22)) == [TWO]


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    with pytest.raises(ConfigError, match="cannot be read"):
        pinned(file, "x", 22)
    file.write_text("nonsense\n")
    with pytest.raises(ConfigError, match="is no known_hosts file"):
        pinned(file, "x", 22)
    with pytest.raises(ConfigError, match=r"no host key of 127\.0\.0\.1:2211"):
        pin(file, {("127.0.0.1", 2211): []})
