"""An emulated host: a computer with the emulated VBoxManage, as far as the network shows it.

It is a network namespace that holds a loopback interface and nothing else; the NAT networks' port forwards listen
there. Whatever talks to the machines runs in it: `with host.inside(): ...`, or `host.command(...)`.
`python -m tests.support.virtualbox.host COMMAND...` runs a command in a new one, for as long as the command runs.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from streaming.settings import CHECKOUT
from tests.support.virtualbox import base_image, boot, boot_nspawn, hypervisor, namespaces

_LOCK = "lock"
"""In the folder of a host: locked as long as its hypervisor lives."""

_CLOSE_S = 60.0
"""Turning machines off takes a tenth of a second each; on a busy machine some seconds."""

_TRIAL = """
mount -t proc proc /proc
cd "$1"
mkdir lower upper work root
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,volatile root
"""
"""What a machine needs of the kernel and of the file system that tests write to. The mounts end with the trial."""

_PROGRAMS = ("systemd-nspawn", "nsenter", "unshare", "setpriv", "ip")


class HostUnavailable(Exception):
    """Machines cannot be emulated here; the text says what is missing. Tests skip."""


class Host:
    """One that is up."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        """Use `emulated_host`."""
        self.name = name
        self.log = boot_nspawn.RUNTIME / name / "log"
        """Where the hypervisor tells of what failed."""
        self._process = process

    @property
    def environment(self) -> dict[str, str]:
        """What makes the emulated VBoxManage boot machines."""
        return {boot.VARIABLE: str(Path(boot_nspawn.__file__))}

    def inside(self) -> AbstractContextManager[None]:
        """The calling thread, and what it starts meanwhile, is in the host's network; see `namespaces.inside`."""
        return namespaces.inside(self.name)

    def command(self, *arguments: str) -> list[str]:
        """The command so that it runs in the host's network."""
        return ["nsenter", f"--net={namespaces.PLACES / self.name}", "--", *arguments]

    def kill(self) -> None:
        """Ends it as a crash would: the hypervisor is killed, and everything that runs ends with it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Turns everything off and leaves nothing. Again: nothing happens."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        try:
            self._process.communicate(timeout=_CLOSE_S)  # ends its standard input
        except subprocess.TimeoutExpired:
            self.kill()
        if self.log.exists():
            print(self.log.read_text(errors="replace"), file=sys.stderr)  # pytest shows it with a test that failed
        hypervisor.remove_traces(self.name)


@contextmanager
def emulated_host() -> Iterator[Host]:
    """A host while it is needed; it goes too when this process dies. What dead ones left is removed first.

    Raises:
        HostUnavailable: machines cannot be emulated here.
    """
    base = _requirements()
    sweep()
    name, lock = _reserve()
    try:
        namespaces.make(name)
        with (boot_nspawn.RUNTIME / name / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(Path(hypervisor.__file__)), name, str(base)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=CHECKOUT,
                pass_fds=[lock],
                start_new_session=True,  # a Ctrl-C ends the tests, and they end it
            )
    except BaseException:
        hypervisor.remove_traces(name)
        raise
    finally:
        os.close(lock)
    host = Host(name, process)
    try:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise HostUnavailable(f"the hypervisor does not start: {host.log.read_text()[-2000:]}")
        yield host
    finally:
        host.close()


def sweep() -> None:
    """Removes what hosts left whose hypervisor is dead."""
    boot_nspawn.RUNTIME.mkdir(exist_ok=True)
    with _only_one():
        for folder in boot_nspawn.RUNTIME.glob(f"{namespaces.PREFIX}*"):
            with (folder / _LOCK).open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                hypervisor.remove_traces(folder.name)


def _reserve() -> tuple[str, int]:
    """A name, and the lock that says that it is taken."""
    name = f"{namespaces.PREFIX}{secrets.token_hex(4)}"
    with _only_one():
        folder = boot_nspawn.RUNTIME / name
        folder.mkdir(mode=0o700)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return name, lock


@contextmanager
def _only_one() -> Iterator[None]:
    with (boot_nspawn.RUNTIME / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _requirements() -> Path:
    """The base image, which is made if there is none."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise HostUnavailable("machines are emulated by Linux containers, which only root can make")
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing:
        raise HostUnavailable(f"{', '.join(missing)} is not installed: scripts/install-machines.sh installs it")
    with tempfile.TemporaryDirectory() as folder:
        trial = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-euc", _TRIAL, "trial", folder]
        ran = subprocess.run(trial, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise HostUnavailable(f"namespaces and layers cannot be made here: {ran.stderr.strip()}")
    try:
        return base_image.ensure()
    except base_image.ImageUnavailable as error:
        raise HostUnavailable(str(error)) from error


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    with emulated_host() as host:
        environment = os.environ | host.environment
        return subprocess.run(host.command(*(arguments or ["bash"])), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
