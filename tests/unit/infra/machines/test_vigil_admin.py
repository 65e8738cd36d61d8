"""The program that writes a machine's configuration as root: what it does in a folder, and what it refuses."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.machines import vigil_admin, vigil_firewall, vigil_install, vigil_packages
from infra.machines.vigil_admin import DIRECTIVES, Machine, Refused, act, configure, differences, refusal, wanted

UNIT = """\
[Unit]
Description=Vigil: indexer

[Service]
ExecStart=/opt/vigil/venv/bin/python -m streaming.indexer
User=vigil
EnvironmentFile=/etc/vigil/vigil.env
EnvironmentFile=-/etc/vigil/env/indexer.env
LoadCredential=kafka_password:/etc/vigil/credentials/indexer.kafka_password
StateDirectory=vigil/indexer

[Install]
WantedBy=vigil.target
"""


class Programs:
    """Stands for the machine's own programs."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.stdin = b""
        self.answer = ""

    def __call__(self, command: Sequence[str], stdin: bytes = b"") -> str:
        self.calls.append(list(command))
        self.stdin = stdin
        return self.answer


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def machine(tmp_path: Path, programs: Programs) -> Machine:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/ssh.service").write_text("of somebody else")
    return Machine(tmp_path, programs, chown=False)


def request(files: dict[str, str], credentials: dict[str, str], units: dict[str, str]) -> bytes:
    return json.dumps({"files": files, "credentials": credentials, "units": units}).encode()


WHOLE = request(
    {"vigil.env": "A=1\n", "env/indexer.env": "B=2\n", "rules/a.yaml": "x"},
    {"indexer.kafka_password": "hunter2"},
    {"vigil-indexer.service": UNIT, "vigil.target": "[Install]\nWantedBy=multi-user.target\n"},
)


def test_a_machine_is_made_so_and_stays_so(machine: Machine, programs: Programs) -> None:
    asked = wanted(WHOLE, machine)
    everything = [
        "credentials/indexer.kafka_password",
        "files/env/indexer.env",
        "files/rules/a.yaml",
        "files/vigil.env",
        "units/vigil-indexer.service",
        "units/vigil.target",
    ]
    assert differences(machine, asked) == {"changed": everything, "surplus": []}
    assert configure(machine, asked) == {"changed": everything, "surplus": []}
    modes = {
        str(path.relative_to(machine.root)): stat.S_IMODE(path.stat().st_mode)
        for path in machine.root.rglob("*")
        if "systemd" not in str(path.parent)
    }
    assert modes["etc/vigil"] == modes["etc/vigil/env"] == 0o750
    assert modes["etc/vigil/credentials"] == 0o700
    assert modes["etc/vigil/credentials/indexer.kafka_password"] == 0o600
    assert modes["etc/vigil/vigil.env"] == 0o640
    assert programs.calls == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "--quiet", "enable", "vigil-indexer.service", "vigil.target"],
    ]
    programs.calls.clear()
    assert configure(machine, asked) == {"changed": [], "surplus": []}
    assert ["systemctl", "daemon-reload"] not in programs.calls


def test_a_part_is_changed_and_the_rest_is_left(machine: Machine, programs: Programs) -> None:
    configure(machine, wanted(WHOLE, machine))
    programs.calls.clear()
    part = {"files": {"ca.pem": "y"}, "credentials": {"indexer.kafka_password": "fresh"}, "units": {}, "partial": {}}
    asked = wanted(json.dumps(part).encode(), machine)
    assert configure(machine, asked) == {
        "changed": ["credentials/indexer.kafka_password", "files/ca.pem"],
        "surplus": [],
    }
    assert (machine.credentials / "indexer.kafka_password").read_text() == "fresh"
    assert (machine.etc / "vigil.env").read_text() == "A=1\n"
    assert (machine.units / "vigil-indexer.service").read_text() == UNIT
    assert programs.calls == []
    assert differences(machine, asked) == {"changed": [], "surplus": []}


def test_what_was_changed_by_hand_is_found_and_put_right(machine: Machine, programs: Programs) -> None:
    asked = wanted(WHOLE, machine)
    configure(machine, asked)
    (machine.etc / "vigil.env").write_text("A=2\n")
    (machine.etc / "env/indexer.env").chmod(0o666)
    (machine.etc / "rules/a.yaml").unlink()
    (machine.etc / "rules/a.yaml").symlink_to("/etc/passwd")
    (machine.etc / "rules/extra.yaml").write_text("x")
    (machine.credentials / "left").write_text("old")
    (machine.units / "vigil-order.service").write_text(UNIT)
    drift = {
        "changed": ["files/env/indexer.env", "files/rules/a.yaml", "files/vigil.env"],
        "surplus": ["credentials/left", "files/rules/extra.yaml", "units/vigil-order.service"],
    }
    programs.calls.clear()
    assert differences(machine, asked) == drift
    assert programs.calls == []
    assert configure(machine, asked) == drift
    assert programs.calls[0] == ["systemctl", "disable", "--now", "vigil-order.service"]
    assert differences(machine, asked) == {"changed": [], "surplus": []}
    assert (machine.units / "ssh.service").exists()
    assert not (machine.etc / "rules/a.yaml").is_symlink()


def test_a_file_becomes_a_folder_and_a_folder_a_file(machine: Machine) -> None:
    for files in ({"a": "1"}, {"a/b": "2"}, {"a": "3"}):
        configure(machine, wanted(request(files, {}, {}), machine))
        assert differences(machine, wanted(request(files, {}, {}), machine)) == {"changed": [], "surplus": []}


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (b"hunter2", "standard input is no JSON"),
        (b"[]", "is no object of"),
        (b'{"files": {}}', "is no object of"),
        (request({"../../root/x": ""}, {}, {}), "is no name"),
        (request({"/etc/passwd": ""}, {}, {}), "is no name"),
        (request({"a/.b": ""}, {}, {}), "is no name"),
        (request({"a//b": ""}, {}, {}), "is no name"),
        (request({"credentials/x": ""}, {}, {}), "is no name"),
        (request({"vigil.env\n": ""}, {}, {}), "is no name"),
        (request({}, {"../x": "hunter2"}, {}), "is no name"),
        (request({}, {"a/b": "hunter2"}, {}), "is no name"),
        (request({}, {}, {"ssh.service": UNIT}), "is no name"),
        (request({}, {}, {"vigil-x.service/../y": UNIT}), "is no name"),
        (request({}, {}, {"vigil-x.socket": UNIT}), "is no name"),
        (b'{"files": {"a": 1}, "credentials": {}, "units": {}}', "is no object of texts"),
    ],
)
def test_nothing_outside_of_vigils_own_is_written(machine: Machine, given_: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        wanted(given_, machine)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "User=root",
        "ExecStartPre=/bin/sh",
        "ExecStart=+/bin/sh",
        "ExecStart=!/bin/sh",
        "ExecStart=@/bin/sh",
        "ExecStart=",
        "AmbientCapabilities=CAP_SYS_ADMIN",
        "PermissionsStartOnly=true",
        "BindPaths=/etc",
        "ReadWritePaths=/",
        "EnvironmentFile=/etc/shadow",
        "EnvironmentFile=/etc/vigil/../shadow",
        "EnvironmentFile=/etc/vigil/credentials/indexer.kafka_password",
        "EnvironmentFile=/etc/vigil/*",
        "EnvironmentFile=/etc/vigil/%i",
        "Group=root",
        "Group=shadow",
        "# a comment \\",
        "Description=x\u2028User=vigil",
        "Description=x\rUser=vigil",
        "\x0cUser=vigil",
        "[Unit]\nWants=debug-shell.service",
        "[Unit]\nAfter=vigil.target debug-shell.service",
        "[Install]\nWantedBy=sysinit.target",
        "LoadCredential=x:/etc/shadow",
        "LoadCredential=x:/etc/vigil/credentials/../../shadow",
        "LoadCredential=x",
        "StateDirectory=../../etc",
        "StateDirectory=vigil:../etc",
        "RuntimeDirectory=sudo",
        "Description=x\\",
        " User=root",
        "User =root",
        "Group=root\\",
        "[Timer]\nOnBootSec=1",
        "[Service]\nUser=vigil",
        "nonsense",
    ],
)
def test_a_unit_that_could_do_more_is_refused(line: str) -> None:
    assert refusal(UNIT) is None
    assert refusal(UNIT.replace("User=vigil\n", f"User=vigil\n{line}\n"))


def test_a_unit_without_a_user_would_be_roots(machine: Machine) -> None:
    assert refusal(UNIT.replace("User=vigil\n", "")) == "User= must be vigil, once"
    with pytest.raises(Refused, match=r"units: vigil-x.service: User= is not as in a unit of Vigil"):
        wanted(request({}, {}, {"vigil-x.service": UNIT.replace("User=vigil", "User=root")}), machine)


PIECES = st.sampled_from(["[Service]", "User=vigil", "User=root", "ExecStart=/x", "Group=vigil", "#", "\n", "\r", "\\", "\u2028", " "])  # fmt: skip  # noqa: E501


@given(st.lists(PIECES, max_size=12))
def test_a_service_is_accepted_only_as_the_user_of_the_services(pieces: list[str]) -> None:
    """systemd's own reading: lines end with a line feed or a carriage return, or go on after a backslash."""
    text = "".join(pieces)
    lines = text.replace("\\\n", " ").replace("\r", "\n").split("\n")
    if "[Service]" in [line.strip() for line in lines] and refusal(text) is None:
        assert [line for line in lines if line.startswith("User=")] == ["User=vigil"]


def test_what_gives_rights_is_not_among_the_directives() -> None:
    listed = {name for names in DIRECTIVES.values() for name in names.split()}
    assert not listed & {"ExecStartPre", "ExecStopPost", "AmbientCapabilities", "BindPaths", "ReadWritePaths"}
    assert not listed & {"RootDirectory", "PAMName", "SupplementaryGroups", "DynamicUser", "ExecReload", "Also"}


def test_users_of_kafka_are_made_by_a_unit_of_its_own(machine: Machine, programs: Programs) -> None:
    passwords = b'{"indexer": "hunter2"}'
    configure(machine, wanted(request({"kafka/server.properties": "listeners=A://1.2.3.4:1\n"}, {}, {}), machine))
    with pytest.raises(Refused, match="no broker"):
        act("kafka-users", machine, lambda: passwords)
    (machine.etc / "kafka/server.properties").write_text(
        "listeners=CLIENTS://10.77.0.11:9092,BROKERS://10.77.0.11:9095\n"
    )
    programs.answer = '{"passwords": ["indexer"]}'
    assert act("kafka-users", machine, lambda: passwords) == {"passwords": ["indexer"]}
    command = programs.calls[-1]
    assert "User=vigil" in command
    assert "10.77.0.11" in command
    assert programs.stdin == passwords
    assert not any("hunter2" in part for part in command)


def test_of_a_disk_of_kafka_only_its_cluster_is_said(machine: Machine) -> None:
    assert act("kafka-disk", machine, bytes) == {"cluster": None}
    data = machine.root / "var/lib/vigil/kafka/data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("#\nversion=1\ncluster.id=WG_uTuCeTwGn6S_YhRCdCQ\ndirectory.id=x\n")
    assert act("kafka-disk", machine, bytes) == {"cluster": "WG_uTuCeTwGn6S_YhRCdCQ"}
    (data / "meta.properties").unlink()
    (data / "meta.properties").symlink_to(machine.root / "secret")  # the folder is the services'
    (machine.root / "secret").write_text("cluster.id=hunter2\n")
    with pytest.raises(OSError, match="symbolic"):
        act("kafka-disk", machine, bytes)


def test_uninstall_leaves_only_the_state(machine: Machine, programs: Programs) -> None:
    configure(machine, wanted(WHOLE, machine))
    state = machine.root / "var/lib/vigil/indexer"
    state.mkdir(parents=True)
    programs.calls.clear()
    act("uninstall", machine, bytes)
    assert programs.calls[0][:3] == ["systemctl", "disable", "--now"]
    assert [path.name for path in machine.units.iterdir()] == ["ssh.service"]
    assert not machine.etc.exists()
    assert state.exists()
    act("uninstall", machine, bytes)


def test_another_verb_is_refused(machine: Machine) -> None:
    with pytest.raises(Refused, match="no such verb"):
        act("shell", machine, bytes)


@pytest.mark.parametrize("program", [vigil_admin, vigil_firewall, vigil_install, vigil_packages])
def test_a_machine_has_nothing_but_the_standard_library_for_it(program: object) -> None:
    source = Path(str(vars(program)["__file__"])).read_text(encoding="utf-8")
    assert source.startswith("#!/usr/bin/python3 -I\n")
    found = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 11))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert {name.partition(".")[0] for name in found} <= sys.stdlib_module_names


def test_it_fails_in_one_line(tmp_path: Path) -> None:
    for arguments in ([], ["shell"], ["compare", "x"]):
        done = subprocess.run(
            [sys.executable, "-I", vigil_admin.__file__, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith("vigil-admin: ")
        assert done.stderr.count("\n") == 1
