"""Why a machine cannot be used over SSH, in words that name the machine, the place and the remedy."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from enum import StrEnum

import asyncssh

from streaming.errors import Unavailable, VigilError

SHOWN_CHARACTERS = 600
"""Of what a remote command said; the rest is in the machine's journal."""


@dataclass(frozen=True)
class Server:
    """Where and as whom a machine is reached."""

    machine: str
    host: str
    port: int
    user: str

    def __str__(self) -> str:
        return f"machine {self.machine} at {self.host}:{self.port}"


class Trouble(StrEnum):
    """What is wrong."""

    UNREACHABLE = "unreachable"
    """No way to it, no such name, or no answer at all."""
    REFUSED = "refused"
    """Something answers that nothing listens there."""
    SILENT = "silent"
    """The connection is taken, and closed or left unanswered before SSH began: so do port forwards to what is off."""
    HOST_KEY = "host-key"
    """It shows a host key that is not pinned, or none is pinned."""
    AUTHENTICATION = "authentication"
    """It does not take our key for that account."""
    PROTOCOL = "protocol"
    """What answers speaks no SSH that we share."""
    LOST = "lost"
    """The connection broke while it was used."""
    TIMED_OUT = "timed-out"
    """A command did not end in time."""


PASSING = frozenset({Trouble.UNREACHABLE, Trouble.REFUSED, Trouble.SILENT, Trouble.LOST})
"""What may be over soon: worth another attempt."""


class MachineUnavailable(Unavailable):
    """A machine cannot be used over SSH; `trouble` tells the kinds apart, the text is for a person."""

    def __init__(self, server: Server, trouble: Trouble, reason: str, remedy: str) -> None:
        self.server, self.trouble, self.reason = server, trouble, reason
        super().__init__(f"{server}: {reason}. {remedy}")


class CommandFailed(VigilError):
    """A command on a machine ended with another status than 0. Its input, which may be a secret, is never shown."""

    def __init__(self, machine: str, command: str, status: int | None, said: str) -> None:
        self.machine, self.command, self.status, self.said = machine, command, status, said
        how = "was ended by a signal" if status is None else f"ended with status {status}"
        super().__init__(f"machine {machine}: `{command}` {how}: {said or 'it said nothing'}")


def plain(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """What a machine said, fit for a terminal: one line, nothing but printable characters, at most so many."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def not_pinned(server: Server, known_hosts: object) -> MachineUnavailable:
    """No host key of it is pinned."""
    return MachineUnavailable(
        server,
        Trouble.HOST_KEY,
        f"no host key of it is pinned in {known_hosts}, and none is trusted because it comes first",
        "A deployment pins the keys that the machine's serial console shows; for a machine of your own add its line "
        "to that file after comparing it with what the machine itself shows (see docs/machines.md)",
    )


def connect_failure(server: Server, error: Exception, known_hosts: object) -> MachineUnavailable:
    """Of an attempt to connect."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return MachineUnavailable(
                server,
                Trouble.HOST_KEY,
                f"it shows a host key that is not the one pinned in {known_hosts}: another machine answers there, or "
                "this one was made anew",
                "Compare with the keys on its serial console; if they are its own, remove its lines from that file "
                "and deploy again",
            )
        case asyncssh.PermissionDenied():
            return MachineUnavailable(
                server,
                Trouble.AUTHENTICATION,
                f"it does not accept our key for {server.user}",
                f"Is the public half in ~{server.user}/.ssh/authorized_keys, and was the machine made for this "
                "deployment's key?",
            )
        case ConnectionRefusedError():
            return MachineUnavailable(
                server, Trouble.REFUSED, "the connection is refused", "Is the machine on, and its SSH server started?"
            )
        case TimeoutError() | asyncssh.TimeoutError():
            return MachineUnavailable(
                server, Trouble.UNREACHABLE, "nothing answers in time", "Is the machine on, and its network up?"
            )
        case asyncssh.ConnectionLost() | ConnectionResetError() | BrokenPipeError():
            return MachineUnavailable(
                server,
                Trouble.SILENT,
                "the connection is taken and closed again before SSH begins",
                "A port forward does so while the machine behind it is off or still boots",
            )
        case socket.gaierror():
            return MachineUnavailable(
                server, Trouble.UNREACHABLE, "there is no such host name", "Correct ssh.host in the inventory"
            )
        case OSError():
            words = error.strerror or (errno.errorcode.get(error.errno) if error.errno else None) or str(error)
            return MachineUnavailable(
                server, Trouble.UNREACHABLE, f"no connection ({plain(words)})", "Is the machine on, its network up?"
            )
        case _:
            return MachineUnavailable(
                server, Trouble.PROTOCOL, f"no SSH connection ({plain(str(error))})", "Does an SSH server answer there?"
            )


def lost(server: Server, error: Exception) -> MachineUnavailable:
    """Of a connection that was in use."""
    return MachineUnavailable(
        server,
        Trouble.LOST,
        f"the connection broke ({plain(str(error)) or type(error).__name__})",
        "What was under way may or may not have been done; try again",
    )
