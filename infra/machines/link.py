"""One SSH connection to one machine, kept open and made again when it broke. All of it runs in one event loop."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from infra.machines.host_keys import pinned
from infra.machines.unreachable import (
    PASSING,
    MachineUnavailable,
    Server,
    Trouble,
    connect_failure,
    lost,
    not_pinned,
    plain,
)

CONNECT_WITHIN_S, LOGIN_WITHIN_S = 5.0, 10.0
"""A machine on this host answers within milliseconds; one that has just booted on a busy host, within a second."""

KEEPALIVE_S, KEEPALIVES_MISSED = 5.0, 3
"""A machine that was switched off is noticed within 20 s also by what waits for nothing."""

SESSIONS_AT_ONCE = 8
"""OpenSSH's default is 10 for each connection (MaxSessions)."""

LEAVE_WITHIN_S = 2.0


@dataclass(frozen=True)
class Retries:
    """How often a connection is tried: `attempts` in all, with waits between that double from `first_wait_s`.

    By default three more attempts within 1.75 s, which carries over a restart of the SSH server. To wait for a machine
    that boots is the caller's business, who knows how long that may take.
    """

    attempts: int = 4
    first_wait_s: float = 0.25


@dataclass(frozen=True)
class Done:
    """A command that ended. `status` is None where a signal ended it. Output beyond the bound was dropped."""

    status: int | None
    out: bytes
    error: bytes
    cut: bool

    @property
    def text(self) -> str:
        """Its standard output, whatever bytes it holds."""
        return self.out.decode("utf-8", "replace")

    @property
    def said(self) -> str:
        """What it says of a failure, for a person."""
        return plain((self.error or self.out).decode("utf-8", "replace"))


class Link:
    """The connection to one machine, made at its first use and again when it broke. Commands may run side by side."""

    def __init__(
        self,
        server: Server,
        key_file: Path,
        known_hosts: Path,
        key: Callable[[Path], asyncssh.SSHKey],
        retries: Retries,
    ) -> None:
        self.server = server
        self._key_file, self._known_hosts, self._key, self._retries = key_file, known_hosts, key, retries
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._sessions = asyncio.Semaphore(SESSIONS_AT_ONCE)

    async def connected(self) -> asyncssh.SSHClientConnection:
        """The open connection.

        Raises:
            MachineUnavailable: it cannot be made.
            ConfigError: our key or the pinned host keys cannot be read.
        """
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            return self._connection

    async def run(
        self, command: Sequence[str], stdin: bytes, timeout_s: float, most_bytes: int, repeatable: bool
    ) -> Done:
        """One command; `repeatable`: once more on a new connection if the old one broke before it ended.

        Raises:
            MachineUnavailable: no connection, it broke, or the command did not end in time.
            ConfigError: as `connected`.
        """
        line = shlex.join(command)
        try:
            return await self._run_once(line, stdin, timeout_s, most_bytes)
        except MachineUnavailable as error:
            if not repeatable or error.trouble is not Trouble.LOST:
                raise
            return await self._run_once(line, stdin, timeout_s, most_bytes)

    @asynccontextmanager
    async def sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        """Transfers of files.

        Raises:
            MachineUnavailable: no connection, or it broke.
            ConfigError: as `connected`.
        """
        async with self._sessions:
            connection = await self.connected()
            try:
                async with connection.start_sftp_client() as client:
                    yield client
            except (
                asyncssh.DisconnectError,
                asyncssh.SFTPConnectionLost,
                asyncssh.SFTPNoConnection,
                ConnectionError,
            ) as error:
                raise lost(self.server, error) from error
            except asyncssh.ChannelOpenError as error:
                raise self._no_channel(error) from error

    async def forward(self, port: int) -> asyncssh.SSHListener:
        """A free port of this host's loopback that leads to a port of the machine's loopback, until it is closed or
        the connection breaks.

        Raises:
            MachineUnavailable: no connection.
            ConfigError: as `connected`.
        """
        connection = await self.connected()
        try:
            return await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port)
        except (asyncssh.Error, OSError) as error:
            raise lost(self.server, error) from error

    async def close(self) -> None:
        """Disconnects."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            try:
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await connection.wait_closed()
            except TimeoutError:
                connection.abort()

    async def _connect(self) -> asyncssh.SSHClientConnection:
        wait = self._retries.first_wait_s
        for attempt in range(1, self._retries.attempts + 1):
            try:
                return await self._connect_once()
            except MachineUnavailable as error:
                if error.trouble not in PASSING or attempt == self._retries.attempts:
                    raise
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("attempts is at least 1")

    async def _connect_once(self) -> asyncssh.SSHClientConnection:
        server = self.server
        trusted = pinned(self._known_hosts, server.host, server.port)
        if not trusted:
            raise not_pinned(server, self._known_hosts)
        try:
            return await asyncssh.connect(
                server.host,
                server.port,
                username=server.user,
                client_keys=[self._key(self._key_file)],
                known_hosts=(trusted, [], []),
                # Nothing of the user's own: no ~/.ssh/config, no agent, no passwords.
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                connect_timeout=CONNECT_WITHIN_S,
                login_timeout=LOGIN_WITHIN_S,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVES_MISSED,
            )
        except (OSError, asyncssh.Error) as error:
            raise connect_failure(server, error, self._known_hosts) from error

    async def _run_once(self, line: str, stdin: bytes, timeout_s: float, most_bytes: int) -> Done:
        async with self._sessions:
            connection = await self.connected()
            try:
                async with asyncio.timeout(timeout_s):
                    return await _execute(connection, line, stdin, most_bytes)
            except TimeoutError:
                raise MachineUnavailable(
                    self.server,
                    Trouble.TIMED_OUT,
                    f"`{plain(line, 200)}` did not end within {timeout_s:g} s",
                    "Is the machine overloaded, or its disk stuck?",
                ) from None
            except asyncssh.ChannelOpenError as error:
                raise self._no_channel(error) from error
            except (asyncssh.DisconnectError, OSError) as error:
                raise lost(self.server, error) from error

    def _no_channel(self, error: asyncssh.ChannelOpenError) -> MachineUnavailable:
        # asyncssh says so too of a connection that broke.
        connection = self._connection
        if connection is None or connection.is_closed():
            return lost(self.server, error)
        return MachineUnavailable(
            self.server,
            Trouble.PROTOCOL,
            f"it gives no session ({plain(str(error))})",
            "Is MaxSessions of its SSH server below 10?",
        )


async def _execute(connection: asyncssh.SSHClientConnection, line: str, stdin: bytes, most_bytes: int) -> Done:
    process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(line, encoding=None)
    try:
        (out, out_cut), (error, error_cut), _ = await asyncio.gather(
            _read(process.stdout, most_bytes), _read(process.stderr, most_bytes), _feed(process.stdin, stdin)
        )
        await process.wait_closed()
    except BaseException:
        # Not waited for: the server closes its end only when the command has ended, which may not heed the signal.
        with suppress(OSError):  # its channel is closed already
            process.terminate()
        process.close()
        raise
    if process.exit_status is None and process.exit_signal is None:
        raise asyncssh.ConnectionLost("the command's end is not known")
    return Done(process.exit_status if process.exit_signal is None else None, out, error, out_cut or error_cut)


async def _read(stream: asyncssh.SSHReader[bytes], most_bytes: int) -> tuple[bytes, bool]:
    kept, size, cut = [], 0, False
    while block := await stream.read(65536):
        # What is dropped must be read all the same: the command would wait for ever.
        if size < most_bytes:
            kept.append(block[: most_bytes - size])
        size += len(block)
        cut = size > most_bytes
    return b"".join(kept), cut


async def _feed(stream: asyncssh.SSHWriter[bytes], data: bytes) -> None:
    try:
        if data:
            stream.write(data)
            await stream.drain()
        stream.write_eof()
    except (BrokenPipeError, ConnectionResetError):
        """The command ended without reading all of it; its status tells what that means."""
