"""The sudo list: exact commands, and the same in the machines' seed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.machines.placement import UNITS
from infra.machines.sudo_commands import allowed, journal_command, sudo, sudoers
from streaming.settings import CHECKOUT

SEED = CHECKOUT / "infra" / "terraform-virtualbox" / "seed" / "sudoers.tftpl"


def test_the_seed_gives_machines_exactly_this_list() -> None:
    assert SEED.read_text(encoding="utf-8") == sudoers()


def test_no_command_leaves_anything_open() -> None:
    for command in allowed():
        assert command[0].startswith("/")
        for part in command:
            assert re.fullmatch(r"[A-Za-z0-9/._-]+", part), part  # no wildcard, nothing that sudoers would unescape
    assert len({tuple(command) for command in allowed()}) == len(allowed())
    # Without arguments listed, sudo would allow any: an empty one says that there are none.
    assert not re.search(r"NOPASSWD: \S+$", sudoers(), re.MULTILINE)


def test_only_units_of_vigil_are_controlled_and_none_is_edited_or_enabled() -> None:
    systemctl = [command for command in allowed() if command[0].endswith("/systemctl")]
    assert {command[-1] for command in systemctl} == set(UNITS)
    assert {command[1] for command in systemctl} == {"start", "stop", "restart", "reset-failed"}


def test_a_password_is_never_asked_for() -> None:
    assert sudo(["/bin/true"]) == ["/usr/bin/sudo", "-n", "--", "/bin/true"]


def test_only_two_lengths_of_journal_can_be_asked_for() -> None:
    with pytest.raises(ValueError, match="neither"):
        journal_command(UNITS[0], 21)


def test_sudo_itself_takes_the_list(tmp_path: Path) -> None:
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin")
    if not visudo:
        pytest.skip("no visudo here")
    file = tmp_path / "sudoers"
    file.write_text(sudoers())
    done = subprocess.run([visudo, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert "parsed OK" in done.stdout + done.stderr
