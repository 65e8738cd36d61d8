"""Ends every process of a platform, also those whose supervisor is gone."""

from __future__ import annotations

import os
import time

import psutil

from infra.local.layout import MARK, Layout

TERM_WITHIN_S = 10.0
"""As long as the supervisor gives; workers close within 9 s at most and mostly in one, Airflow's scheduler takes 5."""

KILL_WITHIN_S = 3.0


def marked(layout: Layout) -> list[psutil.Process]:
    """Processes of this platform, by the mark in their environment, and what they have started.

    Without this process and its ancestors: a deployment task may look too.
    """
    here = psutil.Process()
    own = {here.pid, *(p.pid for p in here.parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in own or not has_mark(process.pid, layout):
            continue
        found[process.pid] = process
        try:
            found |= {child.pid: child for child in process.children(recursive=True) if child.pid not in own}
        except psutil.Error:
            continue
    return list(found.values())


def has_mark(pid: int, layout: Layout) -> bool:
    """Whether a process bears this platform's mark; false where it is gone or another user's."""
    try:
        # Read as bytes, not by psutil: a path need not be UTF-8, and one that contains another is another.
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return os.fsencode(f"{MARK}={layout.home}") in file.read().split(b"\0")
    except OSError:
        return False


def sweep(layout: Layout, term_within_s: float = TERM_WITHIN_S, kill_within_s: float = KILL_WITHIN_S) -> list[str]:
    """TERM to all of this platform's processes, then KILL to what is left; says what had to be ended, one line each.

    Looks again after each round, since a process may have started another meanwhile.
    """
    ended: list[str] = []
    for kill, within_s in ((False, term_within_s), (True, kill_within_s)):
        deadline = time.monotonic() + within_s
        signalled: set[int] = set()
        while left := marked(layout):
            for process in left:
                if process.pid not in signalled:
                    signalled.add(process.pid)
                    ended += _signal(process, kill)
            if time.monotonic() > deadline:
                break
            psutil.wait_procs(left, timeout=0.1)
    return ended


def _signal(process: psutil.Process, kill: bool) -> list[str]:
    try:
        command = " ".join(process.cmdline()[:6])
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return []
    return [f"{'killed' if kill else 'stopped'} {process.pid} {command}"]
