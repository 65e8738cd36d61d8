"""Host keys of machines: read from their serial consoles, then pinned. Nothing is trusted because it came first."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import asyncssh

from streaming.errors import ConfigError
from streaming.files import write_whole

BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
"""cloud-init's markers around the public keys."""

# `ssh-ed25519 AAAA… comment`, wherever in a line it begins: the console puts `[   12.3] cloud-init[401]: ` before it.
_KEY = re.compile(r"\b(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]{32,}={0,2})(?=\s|$)")


def host_keys(console: str) -> tuple[str, ...]:
    """The public host keys that a console log shows, each as `TYPE BASE64`; of several blocks the last whole one.

    Lines may carry noise before the key, carriage returns and terminal sequences. What does not decode to a key of the
    type it says is left out. Empty: there is no whole block yet.
    """
    begin = -1
    found: tuple[str, ...] = ()
    lines = console.replace("\r", "\n").split("\n")
    for number, line in enumerate(lines):
        if BEGIN in line:
            begin = number
        elif END in line and begin >= 0:
            found = tuple(dict.fromkeys(key for text in lines[begin + 1 : number] if (key := _key(text))))
            begin = -1
    return found


def _key(line: str) -> str | None:
    match = _KEY.search(line)
    if not match:
        return None
    kind, encoded = match.groups()
    try:
        raw = base64.b64decode(encoded, validate=True)
        key = asyncssh.import_public_key(f"{kind} {encoded}")
    except (binascii.Error, asyncssh.KeyImportError):
        return None
    return f"{kind} {encoded}" if key.get_algorithm() == kind and key.public_data == raw else None


def place(host: str, port: int) -> str:
    """A server as known_hosts names it."""
    return host if port == 22 else f"[{host}]:{port}"


def pin(file: Path, keys: Mapping[tuple[str, int], Sequence[str]]) -> None:
    """Writes the keys of some servers (by host and port) to a known_hosts file, in place of what it held of them.

    Other servers' lines stay. The file is replaced whole, and only if it changes.

    Raises:
        ConfigError: a server has no key, or the file cannot be written.
    """
    for (host, port), found in keys.items():
        if not found:
            raise ConfigError(
                f"no host key of {host}:{port} is known", file=file, remedy="Its serial console shows them"
            )
    ours = {place(*server) for server in keys}
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    kept = [line for line in before.splitlines() if line.split(" ", 1)[0] not in ours]
    fresh = [f"{place(*server)} {key}" for server, found in keys.items() for key in found]
    text = "".join(f"{line}\n" for line in [*kept, *fresh])
    if text != before:
        write_whole(file, text.encode(), folder_mode=0o700)


def forget(file: Path, servers: Iterable[tuple[str, int]]) -> None:
    """Takes the keys of servers that are no more out of a known_hosts file, which need not exist.

    Raises:
        ConfigError: the file cannot be written.
    """
    if not file.exists():
        return
    ours = {place(*server) for server in servers}
    before = file.read_text(encoding="utf-8")
    text = "".join(f"{line}\n" for line in before.splitlines() if line.split(" ", 1)[0] not in ours)
    if text != before:
        write_whole(file, text.encode())


def pinned(file: Path, host: str, port: int) -> list[asyncssh.SSHKey]:
    """The keys that a known_hosts file holds for exactly this server; an entry without a port is for port 22 alone.

    Raises:
        ConfigError: the file is missing or not of that form.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the pinned host keys cannot be read ({error.strerror})", file=file, remedy="A deployment pins them"
        ) from error
    try:
        # Its own look-up by host and port would fall back to entries without a port: another server's.
        found, _, revoked, *_ = asyncssh.import_known_hosts(text).match(place(host, port), "", None)
    except (ValueError, asyncssh.KeyImportError) as error:
        raise ConfigError(f"is no known_hosts file ({error})", file=file, remedy="See sshd(8)") from None
    return [key for key in found if key not in revoked]
