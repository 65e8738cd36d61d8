"""What a process costs: CPU seconds so far, and memory."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """CPU seconds since the process began (user and system), and megabytes resident and proportional (PSS)."""

    cpu_s: float
    rss_mb: float
    pss_mb: float


def cost(pid: int) -> Cost:
    """The process and its children."""
    process = psutil.Process(pid)
    cpu = rss = pss = 0.0
    for member in (process, *process.children(recursive=True)):
        times, memory = member.cpu_times(), member.memory_full_info()
        cpu += times.user + times.system
        rss += memory.rss / 1e6
        pss += memory.pss / 1e6
    return Cost(cpu, rss, pss)
