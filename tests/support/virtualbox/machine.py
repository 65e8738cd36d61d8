"""A machine: Debian's systemd, cloud-init and sshd in a container that stands for a VirtualBox machine.

What it writes lies in a layer beside its emulated disk, so it survives that the machine is off, and goes with the disk.
Everything else of it hangs on one process, its launcher: mounts, processes and network card end with that.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import pycdlib

from tests.support.virtualbox import base_image, cgroups, namespaces
from tests.support.virtualbox.boot import BootMachine
from tests.support.virtualbox.network import NIC, NatNetwork

LAYER = ".layer"
"""Ends the name of the folder beside a disk that holds what was written to it."""

_SEED = "/var/lib/cloud/seed/nocloud"
"""Where cloud-init's NoCloud data source looks when there is no drive with a seed; a container has no drives."""

_START_S = 60.0
"""From the launcher's start to that of the machine's init: 0.3 s, several on a busy machine."""

_REBOOT = 133
"""What systemd-nspawn ends with when the machine was shut down to start again."""

# $1: where to mount the root; $2: overlay's options; then a list of cgroups, `--`, and the command that boots.
# The namespaces are the launcher's own. /sys is made read-only since systemd-nspawn waits for udev otherwise.
_LAUNCHER = r"""
set -eu
root=$1 options=$2
shift 2
while [ "$1" != -- ]; do
    echo 0 >"$1/cgroup.procs"
    shift
done
shift
mount -t proc proc /proc
mount -o remount,bind,ro /sys
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mount -t overlay overlay -o "$options" "$root"
exec "$@"
"""


class BootFailed(Exception):
    """The machine could not be started; the text says why."""


class Machine:
    """One that is to run on an emulated host."""

    def __init__(self, host: str, about: BootMachine, folder: Path, base: Path) -> None:
        """
        Args:
            host: name of the emulated host.
            folder: for what is needed while it runs. The caller deletes it.
            base: the root file system below the machine's own layer.
        """
        self.about = about
        self.state = "poweroff"
        self._host = host
        self._folder = folder
        self._base = base
        self._name = about.uuid[:8]
        self._namespace = f"{host}.{self._name}"
        self._launcher: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self, network: NatNetwork | None) -> None:
        """Turns it on; returns when its init runs.

        Raises:
            BootFailed: it did not come that far; nothing is left of the attempt.
            NetworkError: it could not be plugged to the network.
        """
        if self.about.disk is None:
            raise BootFailed(f"{self.about.name} has no disk to boot from")
        try:
            self._prepare(network)
            with _ready_socket(self._folder / "ready") as ready:
                self._launcher = await self._launch(Path(self.about.disk), network)
                await self._until_ready(ready, self._launcher)
        except BaseException:
            await self._pull_the_plug()
            self._clear()
            raise
        self.state = "running"
        self._watching = asyncio.create_task(self._watch(self._launcher, network))

    def press_power_button(self) -> None:
        """Asks it to shut down. One that is off, or that has hardly begun to boot, does not hear it."""
        init = self._init()
        if init:
            os.kill(init, signal.SIGRTMIN + 4)  # what tells systemd to power off

    async def power_off(self) -> None:
        """Pulls the plug; returns when no process of it is left."""
        self.state = "poweroff"
        watching = self._watching
        if watching:
            await self._pull_the_plug()
            await watching

    def _prepare(self, network: NatNetwork | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "root").mkdir(parents=True)
        if self.about.seed:
            _unpack_seed(Path(self.about.seed), self._folder / "seed")
        namespaces.remove(self._namespace)
        namespaces.make(self._namespace)
        if network:
            network.plug(self._namespace, self.about.mac)

    async def _launch(self, disk: Path, network: NatNetwork | None) -> asyncio.subprocess.Process:
        layer = disk.with_name(disk.name + LAYER)
        upper, work = layer / "upper", layer / "work"
        upper.mkdir(parents=True, exist_ok=True)
        # Of a mount that did not wait for the disk, which the kernel lets nobody mount again before a look at it. Only
        # a crash of the host could have cost something.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        overlay = f"lowerdir={self._base},upperdir={upper},workdir={work},redirect_dir=on,volatile"
        groups = cgroups.make(f"{self._host}/{self._name}", self.about.memory_mb)
        console = Path(self.about.uart) if self.about.uart else self._folder / "console"
        log = self._folder / "launcher.log"
        with console.open("ab") as output, log.open("ab") as errors:
            return await asyncio.create_subprocess_exec(
                *["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={namespaces.PLACES / self._namespace}"],
                *["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _LAUNCHER, "launcher"],
                *[str(self._folder / "root"), overlay, *map(str, groups), "--", *self._container(network is not None)],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self._folder / "ready")},
            )

    def _container(self, networked: bool) -> Sequence[str]:
        command = ["systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit"]
        command += [f"--directory={self._folder / 'root'}", f"--machine={self._name}", "--hostname=localhost"]
        command += [f"--uuid={self.about.uuid}", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        command += ["--console=read-only", f"--network-interface={NIC}" if networked else "--private-network"]
        if self.about.seed:
            command.append(f"--bind-ro={self._folder / 'seed'}:{_SEED}")
        return [*command, base_image.INIT]

    async def _until_ready(self, ready: socket.socket, launcher: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        told = loop.create_task(_told_ready(ready))
        ended = loop.create_task(launcher.wait())
        await asyncio.wait((told, ended), timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        came_up = told.done()
        for task in (told, ended):
            task.cancel()
        if not came_up:
            said = (self._folder / "launcher.log").read_text(errors="replace").strip().splitlines()
            what = f"ended with {launcher.returncode}" if launcher.returncode is not None else "does not come up"
            raise BootFailed(f"the container of {self.about.name} {what}: {' | '.join(said[-5:])}")

    async def _watch(self, launcher: asyncio.subprocess.Process, network: NatNetwork | None) -> None:
        ended = await launcher.wait()
        self._clear()
        self._watching = None
        if self.state != "running":  # the plug was pulled
            return
        self.state = "poweroff" if ended == 0 else "aborted"
        if ended == _REBOOT:
            await self.start(network)

    async def _pull_the_plug(self) -> None:
        if self._launcher is None or self._launcher.returncode is not None:
            return
        # The launcher's child is the first process of a process namespace: all others in it end with it. The launcher
        # ends when it does; earlier its child would be nobody's.
        for pid in _children(self._launcher.pid) or [self._launcher.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._launcher.wait()

    def _init(self) -> int | None:
        """The process that is number 1 in the machine."""
        if self._launcher is None or self._launcher.returncode is not None:
            return None
        for container in _children(self._launcher.pid):
            for process in _children(container):
                if _innermost_number(process) == 1:
                    return process
        return None

    def _clear(self) -> None:
        cgroups.remove(f"{self._host}/{self._name}")
        namespaces.remove(self._namespace)


def forget_disk(disk: Path) -> None:
    """Deletes what machines have written to it."""
    shutil.rmtree(disk.with_name(disk.name + LAYER), ignore_errors=True)


def _ready_socket(place: Path) -> socket.socket:
    """Where systemd-nspawn says that the machine's init has been started (sd_notify)."""
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(place))
    ready.setblocking(False)
    return ready


async def _told_ready(ready: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while b"READY=1" not in await loop.sock_recv(ready, 4096):
        pass


def _unpack_seed(image: Path, folder: Path) -> None:
    folder.mkdir()
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(image))
    except (OSError, pycdlib.pycdlibexception.PyCdlibException) as error:
        raise BootFailed(f"the seed {image} cannot be read: {error}") from error
    try:
        for child in iso.list_children(joliet_path="/"):
            if child.is_file():
                name = child.file_identifier().decode("utf-16_be")
                content = io.BytesIO()
                iso.get_file_from_iso_fp(content, joliet_path=f"/{name}")
                (folder / name).write_bytes(content.getvalue())
    finally:
        iso.close()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def _innermost_number(pid: int) -> int:
    """Of a process, as it is called in its own namespace."""
    try:
        numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(numbers[1].split()[-1]) if numbers else 0
