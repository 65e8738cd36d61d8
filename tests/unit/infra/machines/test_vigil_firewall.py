"""`vigil-firewall`: rules on trial, confirmed or rolled back. nftables is real, in a network of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.machines import firewall, vigil_firewall
from infra.machines.programs import Software
from infra.machines.vigil_firewall import Machine, Refused, act
from tests.support.inventories import inventory

SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"{log}"
case "$*" in *show*) echo inactive;; esac
"""


def usable() -> bool:
    if os.geteuid() != 0 or not shutil.which("nft"):
        return False
    trial = ["unshare", "--net", "nft", "add", "table", "inet", "trial"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not usable(), reason="needs root, nftables and network namespaces")


class Own(Machine):
    """Runs every program in one network namespace; systemd's are stand-ins that write down what they are told."""

    def run(self, command: list[str] | tuple[str, ...]) -> str:  # type: ignore[override]
        return super().run(["nsenter", f"--net=/proc/{(self.root / 'pid').read_text()}/ns/net", "--", *command])


@contextmanager
def network() -> Iterator[int]:
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo up; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        try:
            yield holder.pid
        finally:
            assert holder.stdin
            holder.stdin.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Own]:
    with network() as pid:
        (tmp_path / "pid").write_text(str(pid))
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in ("systemctl", "systemd-run"):
            text = SYSTEMCTL.replace("systemctl $*", f"{name} $*").format(log=tmp_path / "log")
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        made = Own(tmp_path, f"{programs}:{Machine(tmp_path).programs}")
        made.wanted.parent.mkdir(parents=True)
        yield made


def want(machine: Own, name: str = "producer") -> None:
    machine.wanted.write_text(firewall.ruleset(inventory(), name, Software.UPLOAD))


def told(machine: Own) -> str:
    log = machine.root / "log"
    return log.read_text() if log.exists() else ""


def listed(machine: Own) -> str:
    return machine.run(["nft", "list", "ruleset"])


def test_rules_are_on_trial_until_they_are_confirmed(machine: Own) -> None:
    want(machine)
    assert act("status", machine)["loaded"] is False
    assert act("apply", machine) == {"nftables": True, "trial": True, "within_s": vigil_firewall.CONFIRM_WITHIN_S}
    assert "--on-active=45 /usr/local/sbin/vigil-firewall rollback" in told(machine)
    found = act("status", machine)
    assert (found["loaded"], found["as_wanted"], found["trial"], found["dropped"]) == (True, True, True, 0)
    assert act("confirm", machine) == {"confirmed": True}
    assert told(machine).endswith("systemctl start vigil-firewall.service\n")
    assert act("apply", machine) == {"nftables": True, "trial": False}
    assert act("rollback", machine) == {"rolled_back": False}
    with pytest.raises(Refused, match="no rules are on trial"):
        act("confirm", machine)


def test_what_was_before_comes_back(machine: Own) -> None:
    machine.run(["nft", "add", "table", "inet", "others"])
    want(machine)
    act("apply", machine)
    assert act("rollback", machine) == {"rolled_back": True}
    assert listed(machine) == "table inet others {\n}\n"
    act("apply", machine)
    act("confirm", machine)
    before = listed(machine)
    want(machine, "consumer")
    act("apply", machine)
    assert listed(machine) != before
    assert act("status", machine)["as_wanted"] is True
    assert act("rollback", machine) == {"rolled_back": True}
    assert listed(machine) == before
    # At the next boot, too.
    assert machine.confirmed.read_text() == firewall.ruleset(inventory(), "producer", Software.UPLOAD)
    assert act("status", machine)["as_wanted"] is False


def test_what_was_changed_by_hand_is_found_and_mended(machine: Own) -> None:
    want(machine)
    act("apply", machine)
    act("confirm", machine)
    machine.run(["nft", "insert", "rule", "inet", "vigil", "input", "tcp", "dport", "9200", "accept"])
    assert act("status", machine)["as_wanted"] is False
    assert act("apply", machine)["trial"] is True
    act("confirm", machine)
    machine.run(["nft", "flush", "ruleset"])
    found = act("status", machine)
    assert (found["loaded"], found["as_wanted"]) == (False, False)
    assert act("apply", machine)["trial"] is True


def test_what_cannot_be_loaded_leaves_what_is_there(machine: Own) -> None:
    want(machine)
    act("apply", machine)
    act("confirm", machine)
    before = listed(machine)
    text = machine.wanted.read_text()
    machine.wanted.write_text(text.replace("9092", "99999"))
    with pytest.raises(Refused, match="99999"):
        act("apply", machine)
    machine.wanted.write_text("flush ruleset\n")
    with pytest.raises(Refused, match="line 1 is not among what a ruleset of Vigil says"):
        act("apply", machine)
    machine.wanted.unlink()
    with pytest.raises(Refused, match="cannot be read"):
        act("apply", machine)
    assert listed(machine) == before


def test_a_machine_without_nftables_says_so(tmp_path: Path) -> None:
    bare = Machine(tmp_path, str(tmp_path))
    assert act("apply", bare) == act("status", bare) == {"nftables": False}
    with pytest.raises(Refused, match="no such verb"):
        act("flush", bare)
