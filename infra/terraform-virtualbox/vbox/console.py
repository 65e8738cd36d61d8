"""The serial console of a machine: a file for each boot, the latest without a number."""

from __future__ import annotations

from pathlib import Path

NAME = "serial.log"
KEPT = 5
"""Earlier ones: enough for a machine that fails again and again while somebody looks."""


def rotate(folder: Path) -> Path:
    """Puts the file of the last boot aside (`serial.log.1`, older ones further back), and gives the path of the next.

    VirtualBox begins a console's file anew at every start of a machine, and what it showed before is needed most when
    that start was a repair.
    """
    current = folder / NAME
    if current.exists() and current.stat().st_size:
        for number in range(KEPT, 0, -1):
            older = folder / f"{NAME}.{number}"
            newer = folder / f"{NAME}.{number - 1}" if number > 1 else current
            if newer.exists():
                newer.replace(older)
    return current
