"""A real Debian machine boots from what Terraform made: address, host keys, the operator account, its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.machines import host_keys
from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.platform import wait_until
from tests.support.virtualbox import host, terraform
from tests.support.virtualbox.harness import Emulated
from tests.support.virtualbox.host import Host
from tests.support.virtualbox.terraform import Terraform

pytestmark = [
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
    # A whole deployment in the ordinary tests takes the same way.
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

PATIENCE_S = 180
ROLES = ["controller", "broker", "elasticsearch", "indexing", "collecting", "alerting"]


@pytest.fixture
def around() -> Iterator[Host]:
    """A host that boots machines."""
    try:
        with host.emulated_host() as up:
            yield up
    except host.HostUnavailable as error:
        pytest.skip(str(error))


def test_a_machine_from_its_seed(deployment: Deployment, manage: Emulated, around: Host, tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    spec = deployment.spec().image
    engine = Terraform(
        tmp_path / "terraform",
        {
            "state_dir": str(deployment.state_dir),
            "image": {"source": spec.source, "checksum": f"{spec.algorithm}:{spec.digest}"},
            "ssh_public_key": key.with_suffix(".pub").read_text(),
            "python": sys.executable,
            "nodes": {"one": {"number": 21, "roles": ROLES}},
        },
        {**manage.environment(), **around.environment},
    )
    with around.inside():
        engine.init()
        engine.apply()
        console = deployment.state_dir / "machines/one/serial.log"
        keys = wait_until(
            lambda: host_keys.host_keys(console.read_text(errors="replace")), PATIENCE_S, "host keys on the console"
        )
        known = tmp_path / "known_hosts"
        host_keys.pin(known, {("127.0.0.1", 2221): keys})

        assert "status: done" in _ssh(key, known, "cloud-init status --wait").stdout
        assert "10.77.0.21/24" in _ssh(key, known, "ip -4 -brief address").stdout
        assert "default via 10.77.0.1 " in _ssh(key, known, "ip route").stdout
        assert _ssh(key, known, "hostname").stdout == "one\n"
        allowed = _ssh(key, known, "sudo -n -l").stdout
        assert "NOPASSWD: /usr/local/sbin/vigil-install" in allowed
        refused = _ssh(key, known, "sudo -n id", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert _ssh(key, known, "id", check=False, user="root").returncode == 255
        engine.plan(status=0)
        assert "did not shut down" not in engine.destroy()
    manage.assert_empty()
    assert deployment.files() == ["vbox.lock"]


def _ssh(
    key: Path, known: Path, command: str, *, check: bool = True, user: str = "vigil-operator"
) -> subprocess.CompletedProcess[str]:
    settings = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "IdentitiesOnly=yes"]
    options = [part for setting in settings for part in ("-o", setting)]
    return subprocess.run(
        ["ssh", "-F", "none", "-i", str(key), *options, "-p", "2221", f"{user}@127.0.0.1", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=check,
        timeout=PATIENCE_S,
    )
