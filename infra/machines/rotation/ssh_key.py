"""Another SSH key for this host: added to each machine's account, tried, taken, and only then the old one removed.

Three files tell how far it is, so that a change that was broken off goes on where it was: `id_ed25519.next`, a key that
machines may know already; `id_ed25519`, the key in use; `retired.pub`, keys that machines may know still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from infra.machines.keys import ensure_key, load_key, public_half
from infra.machines.ssh import Connections, servers
from infra.machines.target import Machines
from streaming.files import write_private

AUTHORIZED_KEYS = ".ssh/authorized_keys"
"""In the account's home, as sshd looks by default and cloud-init writes it."""

_EDIT = """
import json, os, sys
asked, place = json.load(sys.stdin), sys.argv[1]
blobs = lambda lines: {line.split()[1] for line in lines}
gone = blobs(asked["remove"])
with open(place, encoding="utf-8") as file:
    before = file.read().splitlines()
kept = [line for line in before if not gone.intersection(line.split())]
known = {word for line in kept for word in line.split()}
kept += [line for line in asked["add"] if line.split()[1] not in known]
if kept != before:
    draft = place + ".vigil-part"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write("".join(line + "\\n" for line in kept))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, place)
"""
"""Runs on the machine as the account itself: its keys are its own, so no right of root is needed."""

Report = Callable[[str], None]


def replace_key(machines: Machines, report: Report, place: str = AUTHORIZED_KEYS) -> None:
    """Another key, in the end the only one of ours that the machines take. Connections that are open stay open.

    Args:
        machines: all of them have to be there.
        report: is told of each step.
        place: of the account's keys, relative to its home.

    Raises:
        Unavailable: a machine cannot be reached, or does not take the new key; the old one is in use then. Running it
            again goes on.
        ConfigError: a key cannot be read or written.
    """
    following, retired = machines.key.with_name(f"{machines.key.name}.next"), machines.key.with_name("retired.pub")
    retiring = _lines(retired)
    if following.exists() or not retiring:
        added = ensure_key(following, f"vigil {machines.inventory.deployment}")
        for name in machines.inventory.machines:
            edit(machines.connections, name, add=[added], place=place)
        _try(machines, following)
        report("each machine takes the new SSH key")
        old = public_half(load_key(machines.key))
        retiring = [*retiring, old]
        write_private(retired, "".join(f"{line}\n" for line in retiring).encode(), synced=True)
        following.replace(machines.key)
        # The next command of this process logs in with the key that is in the file now.
        machines.connections.close()
    for name in machines.inventory.machines:
        edit(machines.connections, name, remove=retiring, place=place)
    retired.unlink(missing_ok=True)
    report("the old SSH key is taken by none any more")


def edit(
    connections: Connections, machine: str, *, add: Sequence[str] = (), remove: Sequence[str] = (), place: str
) -> None:
    """Adds and removes public keys of the account on a machine, whatever else is in its file. Idempotent.

    Raises:
        Unavailable: as `Connections.run`.
        CommandFailed: the machine refuses.
    """
    stdin = msgspec.json.encode({"add": list(add), "remove": list(remove)})
    connections.check(machine, ["/usr/bin/python3", "-I", "-c", _EDIT, place], stdin=stdin, repeatable=True)


def _try(machines: Machines, key: Path) -> None:
    with Connections(servers(machines.inventory), key, machines.known_hosts) as fresh:
        for name in machines.inventory.machines:
            fresh.check(name, ["true"], repeatable=True)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="ascii").splitlines() if file.exists() else []
