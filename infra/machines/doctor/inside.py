"""Run on a machine by its own Python, as any user: `python3 -I - HOST:PORT...` prints what it knows of itself as JSON.

The text of this file is sent over SSH's standard input; it uses the standard library alone. What cannot be asked is
empty.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CONNECT_S = 3.0
"""Machines of one network answer within milliseconds; a second attempt of TCP comes after one second, a third after
three."""
CLOUD_INIT_S = 10.0
PLACES = ("/", "/var/lib/vigil")


def first_boot() -> str:
    """`status: done` -> `done`."""
    if not shutil.which("cloud-init"):
        return ""
    try:
        done = subprocess.run(
            ["cloud-init", "status"], capture_output=True, text=True, timeout=CLOUD_INIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "gives no answer"
    found = re.search(r"status: ([a-z ]+)", done.stdout)
    return found[1].strip() if found else ""


def disks() -> dict[str, tuple[int, int]]:
    """Of the file systems of some places, each once: bytes, and those that services may still take."""
    found, seen = {}, set[int]()
    for place in PLACES:
        with contextlib.suppress(OSError):
            device = Path(place).stat().st_dev
            if device not in seen:
                seen.add(device)
                about = os.statvfs(place)
                found[place] = (about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize)
    return found


def memory() -> tuple[int, int]:
    """Bytes in all and available."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return (0, 0)
    kilobytes = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
    return (int(kilobytes.get("MemTotal", 0)) * 1024, int(kilobytes.get("MemAvailable", 0)) * 1024)


def listening() -> Iterator[tuple[str, int]]:
    """Address and port of every TCP socket that takes connections; IPv4 in IPv6's clothes as IPv4."""
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(file).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, place, _, state, *_ = line.split()
            if state == "0A":
                address, _, port = place.partition(":")
                yield readable(address), int(port, 16)


def readable(address: str) -> str:
    """An address of /proc/net/tcp: words of four bytes, each in this processor's order."""
    words = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(raw)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def tried(place: str) -> tuple[str, int, str]:
    """Whether a port of another machine takes a connection."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except ConnectionRefusedError:
        return host, int(port), "refused"
    except OSError:
        return host, int(port), "silent"
    return host, int(port), "open"


def main() -> None:
    """Entry point."""
    began = time.time()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        connections = pool.map(tried, sys.argv[1:])
        boot = pool.submit(first_boot)
        found = {
            "software": os.path.lexists("/opt/vigil/venv"),
            "disks": disks(),
            "memory": memory(),
            "listening": sorted(set(listening())),
            "tried": list(connections),
            "first_boot": boot.result(),
        }
    print(json.dumps({"began": began, **found, "ended": time.time()}))


if __name__ == "__main__":
    main()
