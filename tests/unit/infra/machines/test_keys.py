"""The client key: made once, private from its first moment."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest

from infra.machines.keys import ensure_key
from streaming.errors import ConfigError


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "machines" / "ssh" / "id_ed25519"
    before = os.umask(0)
    try:
        public = ensure_key(file, "vigil")
    finally:
        os.umask(before)
    assert public.startswith("ssh-ed25519 AAAA")
    assert public.endswith(" vigil")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert ensure_key(file, "another") == public
    assert [path.name for path in file.parent.iterdir()] == ["id_ed25519"]


def test_of_several_at_once_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "key"
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: ensure_key(file, "vigil"), range(8)))
    assert len(made) == 1


def test_a_key_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("nonsense")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no usable private key"):
        ensure_key(file, "x")
    file.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", "secret"))
    with pytest.raises(ConfigError, match="holds no usable private key"):
        ensure_key(file, "x")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {file}"):
        ensure_key(file, "x")
    with pytest.raises(ConfigError, match="cannot be written"):
        ensure_key(file / "below" / "a-file", "x")
