"""Control groups of emulated hosts and machines, in the trees that this kernel has mounted, of either version."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.virtualbox.namespaces import PREFIX

_TREES = ("memory", "pids", "cpu", "cpuacct", "name=systemd")
"""Of the first version: those in which a limit of a unit can hold, and systemd's own."""


def make(name: str, memory_mb: int) -> list[Path]:
    """The groups, one in each tree, for a machine that `name` (`HOST/MACHINE`) names, with the limit of its memory."""
    made = []
    for tree in _roots():
        group = tree / name
        group.mkdir(parents=True, exist_ok=True)
        for parent in (group.parent.parent, group.parent):
            for controller in ("memory", "pids", "cpu"):
                _try_to_write(parent / "cgroup.subtree_control", f"+{controller}")  # of the second version alone
        for limit in ("memory.limit_in_bytes", "memory.max"):
            _try_to_write(group / limit, str(memory_mb << 20))
        made.append(group)
    return made


def remove(name: str) -> None:
    """What is left below `HOST` or `HOST/MACHINE`, with every process in it. Waits until they have ended.

    Raises:
        OSError: a group cannot be removed.
    """
    for tree in _roots():
        top = tree / name
        if not top.is_dir():
            continue
        deadline = time.monotonic() + 10.0  # a killed process still gives back its memory
        while pids := [pid for group in _groups(top) for pid in _processes(group)]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {pids} of {name} do not end")
            time.sleep(0.01)
        for group in _groups(top):
            group.rmdir()


def left(prefix: str = PREFIX) -> list[Path]:
    """Groups of emulated hosts that there are."""
    return [group for tree in _roots() for group in tree.glob(f"{prefix}*")]


def _roots() -> Iterator[Path]:
    """Where groups may be made: of the first version below this process's own, of the second at the root, since a group
    with processes has no groups with controllers there."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines())
    mounts = re.findall(r"^\S+ (/sys/fs/cgroup\S*) (cgroup2?) (\S+)", Path("/proc/mounts").read_text(), re.MULTILINE)
    for place, kind, options in mounts:
        if kind == "cgroup2":
            yield Path(place)
        else:
            for tree in _TREES:
                if tree in own and (Path(place).name in tree.split("=") or tree in options.split(",")):
                    yield Path(place) / own[tree].strip("/")
                    break


def _groups(top: Path) -> list[Path]:
    """Those below first."""
    return [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]


def _processes(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split()]
    except OSError:
        return []  # gone, or one of threads, whose processes are listed above it


def _try_to_write(file: Path, text: str) -> None:
    if file.exists():
        with contextlib.suppress(OSError):
            file.write_text(text, encoding="utf-8")
