"""SSH to the machines of a deployment, for callers that are synchronous: commands, uploads and port forwards.

One connection for each machine, kept open, and made again at the next use when it broke. Host keys are those that were
pinned (`infra.machines.host_keys`); a machine that shows another one is never talked to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import asyncssh

from infra.machines.background import Background
from infra.machines.inventory import Inventory
from infra.machines.keys import load_key
from infra.machines.link import Done, Link, Retries
from infra.machines.transfer import files_of, upload
from infra.machines.unreachable import CommandFailed, MachineUnavailable, Server, plain

COMMAND_WITHIN_S = 30.0
OUTPUT_BYTES = 1024 * 1024


def servers(inventory: Inventory) -> dict[str, Server]:
    """Where and as whom each machine is reached."""
    return {
        name: Server(name, machine.ssh_address.host, machine.ssh_address.port, machine.user)
        for name, machine in inventory.machines.items()
    }


class Connections:
    """The machines of a deployment, each by its name. Nothing is connected before its first use.

    Any thread may call, and what threads ask of one machine runs side by side. A process that was forked off begins
    with connections of its own.
    """

    def __init__(
        self, servers: Mapping[str, Server], key_file: Path, known_hosts: Path, retries: Retries | None = None
    ) -> None:
        self._servers, self._key_file, self._known_hosts = dict(servers), key_file, known_hosts
        self._retries = retries or Retries()
        self._guard = threading.Lock()
        self._background: Background | None = None
        self._links: dict[str, Link] = {}
        self._process = os.getpid()
        # It would log each command and connection as INFO: in a task's log, a page for each look at a service.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)

    def __enter__(self) -> Connections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def machines(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._servers)

    def run(
        self,
        machine: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = COMMAND_WITHIN_S,
        most_bytes: int = OUTPUT_BYTES,
        repeatable: bool = False,
    ) -> Done:
        """Runs a command, an argument list, and waits for its end, whatever its status.

        Args:
            stdin: what it reads, then the end of file; the way for secrets, which no command line may hold.
            timeout_s: for the command alone. A connection that has to be made may take 22 s before, where nothing
                answers at all.
            most_bytes: of standard output and of standard error each; what goes beyond is dropped.
            repeatable: it may be run twice, so it is tried once more if the connection breaks meanwhile.

        Raises:
            MachineUnavailable: no connection, it broke, or the command did not end in time (it may run on).
            ConfigError: our key or the pinned host keys cannot be read.
            KeyError: no machine of that name.
        """
        link = self._link(machine)
        return self._loop().call(link.run(_checked(command), stdin, timeout_s, most_bytes, repeatable))

    def check(
        self,
        machine: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = COMMAND_WITHIN_S,
        most_bytes: int = OUTPUT_BYTES,
        repeatable: bool = False,
    ) -> str:
        """As `run`; returns its standard output.

        Raises:
            CommandFailed: it ended with another status than 0.
            MachineUnavailable, ConfigError, KeyError: as `run`.
        """
        done = self.run(
            machine, command, stdin=stdin, timeout_s=timeout_s, most_bytes=most_bytes, repeatable=repeatable
        )
        if done.status != 0:
            raise CommandFailed(machine, plain(" ".join(command), 200), done.status, done.said)
        return done.text

    def run_each(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        timeout_s: float = COMMAND_WITHIN_S,
        most_bytes: int = OUTPUT_BYTES,
    ) -> dict[str, Done | MachineUnavailable]:
        """Runs one repeatable command on each of several machines at once; a machine that cannot be used is an answer.

        Raises:
            ConfigError: as `run`.
            KeyError: no machine of a name.
        """
        links = {machine: self._link(machine) for machine in commands}

        async def one(machine: str) -> Done | MachineUnavailable:
            try:
                return await links[machine].run(_checked(commands[machine]), b"", timeout_s, most_bytes, True)
            except MachineUnavailable as error:
                return error

        async def each() -> dict[str, Done | MachineUnavailable]:
            return dict(zip(commands, await asyncio.gather(*map(one, commands)), strict=True))

        return self._loop().call(each())

    def upload_file(self, machine: str, source: Path, target: str) -> bool:
        """Brings one file up to date at an absolute path of the machine; False: it was the same already.

        Raises:
            CommandFailed: the machine refuses it.
            MachineUnavailable, ConfigError, KeyError: as `run`; a file here that cannot be read is a ConfigError.
        """
        folder, _, name = target.rpartition("/")
        return bool(self._loop().call(upload(self._link(machine), {name: source}, folder or "/", only_these=False)))

    def upload_folder(self, machine: str, source: Path, target: str, *, only_these: bool = False) -> list[str]:
        """Brings a folder up to date; returns the paths within it that changed.

        Files are there whole or not at all; what has the same sha256 is not sent. With `only_these`, files of the
        machine's folder that are not in `source` are removed.

        Raises:
            CommandFailed, MachineUnavailable, ConfigError, KeyError: as `upload_file`.
        """
        return self._loop().call(upload(self._link(machine), files_of(source), target, only_these))

    @contextmanager
    def forward(self, machine: str, port: int) -> Iterator[int]:
        """A port on this host's loopback that leads to a port of the machine's own loopback while the block lasts.

        It breaks with the connection; another `forward` makes a new one.

        Raises:
            MachineUnavailable, ConfigError, KeyError: as `run`.
        """
        listener = self._loop().call(self._link(machine).forward(port))
        try:
            yield listener.get_port()
        finally:
            self._loop().call(_closed(listener))

    def close(self) -> None:
        """Disconnects; the next use connects anew."""
        with self._guard:
            background, links = self._background, list(self._links.values())
            self._background, self._links = None, {}
            if background is None or self._process != os.getpid():
                return

        async def leave() -> None:
            await asyncio.gather(*(link.close() for link in links))

        try:
            background.call(leave())
        finally:
            background.close()

    def _loop(self) -> Background:
        with self._guard:
            self._own()
            if self._background is None:
                self._background = Background("ssh")
            return self._background

    def _link(self, machine: str) -> Link:
        with self._guard:
            self._own()
            if machine not in self._links:
                server = self._servers[machine]
                self._links[machine] = Link(server, self._key_file, self._known_hosts, load_key, self._retries)
            return self._links[machine]

    def _own(self) -> None:
        if self._process != os.getpid():
            # The parent's thread did not come along, and its connections are the parent's.
            self._process, self._background, self._links = os.getpid(), None, {}


async def _closed(listener: asyncssh.SSHListener) -> None:
    listener.close()
    await listener.wait_closed()


def _checked(command: Sequence[str]) -> Sequence[str]:
    if not command or any("\0" in part for part in command):
        raise ValueError("a command is a list of at least one text, none with a NUL in it")
    return command
