"""A seeded hand that kills and freezes processes of a platform, and leaves each time to come back."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FREEZE_S = (0.5, 4.0)
"""Shortest and longest SIGSTOP. Frozen for longer than a session (10 s) a worker loses its partitions; the long form
of the test does that too, by `freeze_s`."""


@dataclass(frozen=True)
class Deed:
    """What was done, when (seconds after the begin), to whom."""

    at_s: float
    target: str
    deed: str


class Monkey:
    """Does one thing every `pause_s` or so for `seconds`. The same seed chooses the same deeds in the same order.

    Every target is killed once before any is chosen again, so that a short run leaves none out. `pid_of` gives the
    process of a target, None while it is away (then it is left alone).
    """

    def __init__(
        self,
        targets: Sequence[str],
        pid_of: Callable[[str], int | None],
        *,
        seed: int,
        seconds: float,
        pause_s: tuple[float, float],
        freeze_s: tuple[float, float] = FREEZE_S,
    ) -> None:
        self._random = random.Random(seed)
        self._targets, self._pid_of = targets, pid_of
        self._seconds, self._pause_s, self._freeze_s = seconds, pause_s, freeze_s
        self.deeds: list[Deed] = []
        self._frozen: list[threading.Timer] = []
        self._began = time.monotonic()

    def run(self) -> None:
        """Returns when the time is over and nothing is frozen any more."""
        self._began = time.monotonic()
        order: list[str] = []
        while time.monotonic() - self._began < self._seconds:
            if not order:
                order = list(self._targets)
                self._random.shuffle(order)
                first_round = not self.deeds
            target = order.pop()
            # All random choices are drawn whatever happens, so that the seed alone decides them.
            freeze, wait_s = self._random.random() < 0.25, self._random.uniform(*self._pause_s)
            freeze_s = self._random.uniform(*self._freeze_s)
            self._act(target, freeze_s if freeze and not first_round else None)
            time.sleep(wait_s)  # the pause is the plan itself: there is no condition to wait for
        for timer in self._frozen:
            timer.join()

    def _act(self, target: str, freeze_s: float | None) -> None:
        pid = self._pid_of(target)
        if pid is None:
            self._note(target, "is away")
            return
        with contextlib.suppress(ProcessLookupError):
            if freeze_s is None:
                os.kill(pid, signal.SIGKILL)
                self._note(target, "killed")
                return
            os.kill(pid, signal.SIGSTOP)
            self._note(target, f"frozen for {freeze_s:.1f} s")
            timer = threading.Timer(freeze_s, _thaw, [pid])
            timer.start()
            self._frozen.append(timer)

    def _note(self, target: str, deed: str) -> None:
        self.deeds.append(Deed(round(time.monotonic() - self._began, 1), target, deed))


def _thaw(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
