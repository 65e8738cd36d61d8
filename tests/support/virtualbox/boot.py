"""How the emulated VBoxManage has machines booted: by a program of its own, named by VBOX_EMULATED_BOOT.

Without the variable a machine is a state and nothing runs. With it, the emulator runs

    python PROGRAM COMMAND FILE

where PROGRAM is the variable's value and FILE holds one JSON object. Errors go to standard error, one line first; the
emulator shows it as the real one shows what VBoxHeadless says. What PROGRAM leaves running must hold neither its
standard output nor its standard error, since the emulator reads both to their end.

| COMMAND  | FILE holds | what it does |
|----------|------------|--------------|
| start    | a machine  | boots it, and returns when it is on (not when it is up); exit 1: it could not |
| acpi     | a machine  | presses the power button, and returns at once |
| poweroff | a machine  | pulls the plug, and returns when it is off; off already: exit 0 |
| state    | a machine  | writes `running`, `poweroff` (its guest shut down) or `aborted` (it died) to standard output |
| delete   | a machine  | forgets what it keeps of the machine's disk, which the emulator deletes; never running then |
| forwards | a network  | makes exactly these port forwards, in place of earlier ones; an empty list: none |

`forwards` is called whenever a network's rules change while a machine on it runs, before the first `start` on a
network, and with an empty list when its last machine is off or the network is removed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

VARIABLE = "VBOX_EMULATED_BOOT"

_PATIENCE_S = 120.0
"""No command waits for a guest, but a first start may unpack its root file system: some 10 s on two slow cores."""


class BootError(Exception):
    """The program failed; the text is its own first line."""


@dataclass(frozen=True)
class Rule:
    """One port forward: `host_address:host_port` of the network's host leads to `guest_address:guest_port`."""

    name: str
    protocol: str
    host_address: str
    host_port: int
    guest_address: str
    guest_port: int


@dataclass(frozen=True)
class BootNetwork:
    """A NAT network: its host end is the first address of `cidr`."""

    name: str
    cidr: str
    forwards: list[Rule] = field(default_factory=list)


@dataclass(frozen=True)
class BootMachine:
    """A machine as it is to be booted.

    Paths are absolute. `folder` is the machine's own, which the program may keep things in; the emulator removes it
    with the machine. `disk` is a file below it, a copy of the image that the machine was made from. `uart` is appended
    to with what the console shows (None: no console file). `mac` is lower case with colons.
    """

    name: str
    uuid: str
    folder: str
    disk: str | None
    seed: str | None
    mac: str
    memory_mb: int
    cpus: int
    uart: str | None
    network: BootNetwork | None


def call(command: str, about: BootMachine | BootNetwork) -> str:
    """Runs the program and gives what it wrote to standard output; empty where none is set.

    Raises:
        BootError: it failed or took too long.
    """
    program = os.environ.get(VARIABLE)
    if not program:
        return ""
    # Imported where needed: without a boot program, a call of the emulator is a third faster.
    import json
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vbox-boot-") as folder:
        file = Path(folder) / "about.json"
        file.write_text(json.dumps(asdict(about)), encoding="utf-8")
        try:
            ran = subprocess.run(
                [sys.executable, program, command, str(file)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BootError(f"{command} of {about.name} took more than {_PATIENCE_S:.0f} s") from None
    if ran.returncode:
        lines = ran.stderr.strip().splitlines()
        raise BootError(lines[0] if lines else f"{command} of {about.name} ended with {ran.returncode}")
    return ran.stdout.strip()
