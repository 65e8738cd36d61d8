"""What a machine reads at its first boot: cloud-init's own schema, and what must not be in it."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.virtualbox import base_image, harness, terraform
from tests.support.virtualbox.terraform import Terraform

pytestmark = pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The seeds of two machines, as Terraform renders them."""
    folder = tmp_path_factory.mktemp("terraform")
    variables = {
        "state_dir": str(folder / "state"),
        "image": {"source": "/images/a.vmdk", "checksum": f"sha256:{'0' * 64}"},
        "ssh_public_key": harness.KEY,
        "dns": ["9.9.9.9"],
    }
    made = Terraform(folder, variables, {})
    made.init()
    program = terraform.engine()
    assert program is not None
    ran = subprocess.run(
        [program, f"-chdir={terraform.MODULE}", "console", f"-var-file={folder / 'test.tfvars.json'}"],
        input="jsonencode(local.seeds)\n",
        env={
            "TF_CLI_CONFIG_FILE": str(folder / "empty.tfrc"),
            "TF_DATA_DIR": str(folder / "data"),
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, str]] = json.loads(json.loads(ran.stdout))
    return found


def test_one_account_that_logs_in(seeds: dict[str, dict[str, str]]) -> None:
    data = yaml.safe_load(seeds["producer"]["user-data"])
    operator, services = data["users"]
    assert (operator["name"], services["name"]) == ("vigil-operator", "vigil")
    assert (services["shell"], services["lock_passwd"]) == ("/usr/sbin/nologin", True)
    assert "ssh_authorized_keys" not in services
    assert operator["ssh_authorized_keys"] == [harness.KEY]
    assert operator["lock_passwd"] is True
    assert "sudo" not in operator
    assert "groups" not in operator
    assert (data["disable_root"], data["ssh_pwauth"], data["ssh_deletekeys"]) == (True, False, True)
    assert data["ssh"] == {"emit_keys_to_console": True}
    assert data["locale"] == "false"


def test_what_sshd_takes(seeds: dict[str, dict[str, str]]) -> None:
    data = yaml.safe_load(seeds["producer"]["user-data"])
    files = {file["path"]: file for file in data["write_files"]}
    settings = dict(
        line.split(" ", 1)
        for line in files["/etc/ssh/sshd_config.d/00-vigil.conf"]["content"].splitlines()
        if line[0] != "#"
    )
    assert settings["AllowUsers"] == "vigil-operator"
    for name in ("PasswordAuthentication", "KbdInteractiveAuthentication", "PermitRootLogin", "X11Forwarding"):
        assert settings[name] == "no"


def test_the_sudo_list_is_a_file_that_only_root_changes(seeds: dict[str, dict[str, str]]) -> None:
    data = yaml.safe_load(seeds["producer"]["user-data"])
    file = next(file for file in data["write_files"] if file["path"] == "/etc/sudoers.d/vigil-operator")
    assert (file["owner"], file["permissions"]) == ("root:root", "0440")
    text = gzip.decompress(base64.b64decode(file["content"])).decode()
    assert text.endswith("\n")
    # A list of exact commands: no command of all, no pattern.
    commands = [line.partition("NOPASSWD:")[2] for line in text.splitlines() if "NOPASSWD:" in line]
    assert not [command for command in commands if "*" in command or command.strip() in ("", "ALL")]


@pytest.mark.skipif(shutil.which("visudo") is None, reason="visudo is not installed")
def test_the_sudo_list_is_one_that_sudo_reads(seeds: dict[str, dict[str, str]], tmp_path: Path) -> None:
    data = yaml.safe_load(seeds["producer"]["user-data"])
    file = next(file for file in data["write_files"] if file["path"] == "/etc/sudoers.d/vigil-operator")
    (tmp_path / "sudoers").write_bytes(gzip.decompress(base64.b64decode(file["content"])))
    subprocess.run(["visudo", "-c", "-f", str(tmp_path / "sudoers")], check=True, capture_output=True)


def test_the_programs_that_it_may_run_are_there(seeds: dict[str, dict[str, str]]) -> None:
    data = yaml.safe_load(seeds["producer"]["user-data"])
    files = {file["path"]: file for file in data["write_files"]}
    for name in ("vigil_admin", "vigil_install", "vigil_packages", "vigil_firewall"):
        file = files[f"/usr/local/sbin/{name.replace('_', '-')}"]
        assert (file["owner"], file["permissions"]) == ("root:root", "0755")
        source = terraform.MODULE.parent / "machines" / f"{name}.py"
        assert gzip.decompress(base64.b64decode(file["content"])) == source.read_bytes()


def test_a_seed_fits_into_a_variable_of_the_environment(seeds: dict[str, dict[str, str]]) -> None:
    """128 KiB on Linux (MAX_ARG_STRLEN), with as much left for growth."""
    assert max(len(json.dumps(files)) for files in seeds.values()) < 64 * 1024


def test_nothing_secret_is_in_a_seed(seeds: dict[str, dict[str, str]]) -> None:
    for files in seeds.values():
        for text in files.values():
            assert "PRIVATE KEY" not in text
            assert not [word for word in ("passwd:", "hashed_passwd", "chpasswd", "token") if f"\n  {word}" in text]


def _cloud_init() -> tuple[list[str], dict[str, str]]:
    """A Python that has cloud-init, and its environment: the system's, or Debian 12's of the machines for tests."""
    places = sorted(base_image.cache().glob("base-images/*/usr/lib/python3/dist-packages/cloudinit"))
    candidates: list[tuple[list[str], dict[str, str]]] = [(["/usr/bin/python3"], {})]
    candidates += [([sys.executable, "-S"], {"PYTHONPATH": str(place.parent)}) for place in places]
    for python, environment in candidates:
        probe = [*python, "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('cloudinit'))"]
        if Path(python[0]).exists() and not subprocess.run(probe, env=environment, capture_output=True).returncode:
            return python, environment
    pytest.skip("cloud-init is not installed (Debian: apt install cloud-init), nor is there a machine for tests yet")


def test_cloud_init_finds_user_data_valid(seeds: dict[str, dict[str, str]], tmp_path: Path) -> None:
    python, environment = _cloud_init()
    file = tmp_path / "user-data"
    file.write_text(seeds["producer"]["user-data"], encoding="utf-8")
    command = [*python, "-m", "cloudinit.cmd.main", "schema", "-c", str(file)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Valid" in ran.stdout
    assert "deprecated" not in (ran.stdout + ran.stderr).lower()


_READ_NETWORK = """
import json, sys, yaml
from cloudinit.net.network_state import parse_net_config_data
print(json.dumps(list(parse_net_config_data(yaml.safe_load(sys.stdin)).iter_interfaces())))
"""


def test_cloud_init_understands_the_network(seeds: dict[str, dict[str, str]]) -> None:
    python, environment = _cloud_init()
    ran = subprocess.run(
        [*python, "-c", _READ_NETWORK],
        input=seeds["producer"]["network-config"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (interface,) = json.loads(ran.stdout)
    assert interface["mac_address"].startswith("08:00:27:")
    (subnet,) = interface["subnets"]
    assert (subnet["type"], subnet["address"], subnet["prefix"]) == ("static", "10.77.0.11", 24)
    assert [(route["network"], route["prefix"], route["gateway"]) for route in subnet["routes"]] == [
        ("0.0.0.0", 0, "10.77.0.1")
    ]
    assert interface["dns"]["nameservers"] == ["9.9.9.9"]
