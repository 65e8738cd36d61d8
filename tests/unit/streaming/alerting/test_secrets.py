"""Where a receiver's secret is taken from, and that it shows nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streaming.alerting.rules.routes import Secret
from streaming.alerting.secrets import SIZE_LIMIT, resolve
from streaming.errors import ConfigError


def kept(folder: Path, content: bytes, mode: int = 0o600) -> Secret:
    file = folder / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return Secret(file=str(file))


def refused(secret: Secret) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(secret, "pager")
    assert caught.value.__cause__ is None or "hunter2" not in str(caught.value.__cause__)
    message = str(caught.value)
    assert "receiver pager: " in message
    assert "hunter2" not in message
    return message


def test_it_is_read_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_KEY", "hunter2\n")
    for secret in (Secret(env="PAGER_KEY"), kept(tmp_path, b"hunter2\n")):
        found = resolve(secret, "pager")
        assert found.get_secret_value() == "hunter2"
        assert "hunter2" not in f"{found} {found!r}"


def test_what_is_not_there_or_empty_is_said_without_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGER_KEY", raising=False)
    assert "environment variable PAGER_KEY" in refused(Secret(env="PAGER_KEY"))
    monkeypatch.setenv("PAGER_KEY", "  ")
    assert "environment variable PAGER_KEY" in refused(Secret(env="PAGER_KEY"))
    assert "No such file" in refused(Secret(file=str(tmp_path / "none")))
    assert "is empty" in refused(kept(tmp_path, b"\n"))
    assert "is no text" in refused(kept(tmp_path, b"hunter2\xff"))
    assert "larger" in refused(kept(tmp_path, b"hunter2" * SIZE_LIMIT))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o610])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    assert f"chmod 0600 {tmp_path}" in refused(kept(tmp_path, b"hunter2", mode))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "no regular file" in refused(Secret(file=str(tmp_path / "pipe")))
    assert "receiver pager" in refused(Secret(file=str(tmp_path)))


def test_a_secret_named_by_a_variable_may_be_a_credential_of_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "WEBHOOK_TOKEN").write_text("hunter2\n")
    assert resolve(Secret(env="WEBHOOK_TOKEN"), "office").get_secret_value() == "hunter2"
    monkeypatch.setenv("WEBHOOK_TOKEN", "environment")
    assert resolve(Secret(env="WEBHOOK_TOKEN"), "office").get_secret_value() == "environment"
