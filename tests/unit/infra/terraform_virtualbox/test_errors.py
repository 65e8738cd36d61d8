"""What a person reads when VBoxManage fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from vbox.errors import Refused, VboxError
from vbox.manage import failure, find_program

LOCKED = """VBoxManage: error: Cannot unregister the machine 'vigil-producer' while it is locked
VBoxManage: error: Details: code VBOX_E_INVALID_OBJECT_STATE (0x80bb0007), component MachineWrap, interface IMachine
VBoxManage: error: Context: "Unregister(…)" at line 154 of file VBoxManageMisc.cpp
"""
CLONING = """0%...10%...Progress state: VBOX_E_FILE_ERROR
VBoxManage: error: Failed to clone medium
VBoxManage: error: Could not create the clone medium '/a/disk.vdi' (VERR_DISK_FULL)
VBoxManage: error: Details: code VBOX_E_FILE_ERROR (0x80bb0004), component MediumWrap, interface IMedium
"""


def test_its_own_reason_is_told_and_its_code_known() -> None:
    error = failure("removing machine 'vigil-producer'", 1, LOCKED)
    assert str(error) == (
        "removing machine 'vigil-producer' failed: Cannot unregister the machine 'vigil-producer' while it is locked"
    )
    assert (error.code, error.status) == ("VBOX_E_INVALID_OBJECT_STATE", 1)
    assert "Context" not in error.reason


def test_progress_is_left_out() -> None:
    error = failure("cloning", 1, CLONING)
    assert error.lines()[0] == "vbox: error: cloning failed: Failed to clone medium"
    assert "VERR_DISK_FULL" in error.reason
    assert "0%" not in error.reason
    assert error.code == "VBOX_E_FILE_ERROR"


@pytest.mark.parametrize(
    ("err", "first"),
    [
        ("Usage: …\n\nWARNING: The vboxdrv kernel module is not loaded.\n", "Usage: …"),
        ("", "exit code 2, no message"),
    ],
)
def test_other_ends(err: str, first: str) -> None:
    assert str(failure("listing machines", 2, err)) == f"listing machines failed: {first}"


def test_the_lines_of_an_error() -> None:
    error = VboxError("it failed", reason="one\ntwo", remedy="do that")
    assert error.lines() == ["vbox: error: it failed", "reason: one\n        two", "remedy: do that"]
    assert (VboxError.exit_code, Refused.exit_code) == (1, 3)


def test_the_program_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIGIL_VBOXMANAGE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VboxError, match="VBoxManage is not on the PATH") as raised:
        find_program()
    assert "VIGIL_VBOXMANAGE" in raised.value.remedy
    program = tmp_path / "VBoxManage"
    program.touch(mode=0o755)
    assert find_program() == program
    monkeypatch.setenv("VIGIL_VBOXMANAGE", str(tmp_path / "none"))
    with pytest.raises(VboxError, match="is no program"):
        find_program()
