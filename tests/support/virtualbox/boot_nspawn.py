"""What VBOX_EMULATED_BOOT names so that the emulated VBoxManage boots real machines (`boot.py` says how it is called).

It passes everything on to the hypervisor of the emulated host in whose network namespace it runs. The standard library
alone, and quick to start: a deployment calls it a hundred times.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

RUNTIME = Path("/run/vigil-tests")
"""A folder for each emulated host."""

SOCKET = "hypervisor"


def main() -> int:
    """The exit code."""
    command, file = sys.argv[1:]
    host = _here()
    if host is None:
        print(
            "this is not the network namespace of an emulated host (tests/support/virtualbox/host.py)", file=sys.stderr
        )
        return 1
    request = {"command": command, "about": json.loads(Path(file).read_text(encoding="utf-8"))}
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(RUNTIME / host / SOCKET))
            connection.sendall(json.dumps(request).encode() + b"\n")
            reply = json.loads(connection.makefile("rb").read())
    except (OSError, ValueError) as error:
        print(f"the emulated host {host} is gone ({error})", file=sys.stderr)
        return 1
    if reply["error"]:
        print(reply["error"], file=sys.stderr)
        return 1
    if reply["output"]:
        print(reply["output"])
    return 0


def _here() -> str | None:
    """The emulated host whose network namespace this process is in."""
    own = Path("/proc/self/ns/net").stat()
    for place in RUNTIME.glob("*/"):
        named = Path("/run/netns", place.name)
        if named.exists() and (named.stat().st_ino, named.stat().st_dev) == (own.st_ino, own.st_dev):
            return place.name
    return None


if __name__ == "__main__":
    sys.exit(main())
