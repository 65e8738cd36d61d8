"""A real OpenSSH server as a process of the test: on loopback, with keys and configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import psutil
import pytest

from infra.machines.host_keys import pin
from infra.machines.keys import ensure_key
from infra.machines.link import Retries
from infra.machines.ssh import Connections
from infra.machines.unreachable import Server
from tests.support import listening
from tests.support.listening import free_port

SEPARATION = Path("/run/sshd")
"""Where sshd as root confines itself; the service's unit makes it, and nobody else."""

# A refused key costs no time, a closed port no more than the waits between attempts.
QUICK = Retries(attempts=3, first_wait_s=0.05)


PATIENCE_S = 90.0
"""A session begins within a tenth of a second; on a machine with ten times as much to do as it can, much later."""


def wait_for(condition: Callable[[], object]) -> None:
    """Looks every 10 ms."""
    listening.wait_for(condition, PATIENCE_S)


def server_program() -> str:
    """Path of sshd; the test skips where there is none."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        pytest.skip("no sshd here: `sh scripts/install-machines.sh` installs it")
    return found


@dataclass
class Sshd:
    """One server. `folder` holds the client's key, the server's keys and the pinned ones."""

    folder: Path
    port: int = field(default_factory=free_port)
    forced: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def key_file(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def server(self) -> Server:
        return Server("producer", "127.0.0.1", self.port, getpass.getuser())

    def prepare(self) -> None:
        """Makes keys, pins the server's."""
        public = ensure_key(self.key_file, "test")
        (self.folder / "authorized_keys").write_text(public + "\n")
        self.new_host_key()
        pin(self.known_hosts, {("127.0.0.1", self.port): [self.host_key]})

    def new_host_key(self) -> None:
        """As a machine that was made anew has."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        file = self.folder / "host_key"
        file.unlink(missing_ok=True)
        file.touch(0o600)
        file.write_bytes(key.export_private_key("openssh"))
        self.host_key = " ".join(key.export_public_key("openssh").decode().split()[:2])

    def start(self) -> None:
        """Returns when the port is open."""
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",  # pytest's folders are below /tmp, where all may write
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "Subsystem sftp internal-sftp",
        ]
        if self.forced:
            lines.append(f"ForceCommand {' '.join(self.forced)}")
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        log = (self.folder / "sshd.log").open("ab")
        self.process = subprocess.Popen(
            [server_program(), "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        wait_for(self._listens)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sessions(self) -> list[psutil.Process]:
        """What the server has forked off: one for each connection, and theirs."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def break_connections(self) -> None:
        """Kills what serves the connections."""
        for child in self.sessions():
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def stop(self) -> None:
        """Ends it with all that it started."""
        if self.process is None:
            return
        children = self.sessions() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)
        self.process = None

    def connections(self, retries: Retries = QUICK) -> Connections:
        """To this server, as machine `producer`."""
        return Connections({"producer": self.server}, self.key_file, self.known_hosts, retries)


@contextmanager
def sshd(folder: Path, forced: Sequence[str] = ()) -> Iterator[Sshd]:
    """A server that runs while the block lasts."""
    server_program()
    made = os.geteuid() == 0 and not SEPARATION.exists()
    if made:
        SEPARATION.mkdir(mode=0o755)
    server = Sshd(folder, forced=forced)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()
        if made:
            with suppress(OSError):
                SEPARATION.rmdir()


PYTHON = sys.executable
