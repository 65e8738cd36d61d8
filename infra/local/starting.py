"""One `vigil up` at a time may start a platform."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra.local.layout import Layout
from streaming.errors import Unavailable

POLL_S = 0.1


@contextmanager
def starting(layout: Layout, within_s: float, note: Callable[[str], None]) -> Iterator[None]:
    """Holds the right to start the platform; the kernel takes it back when this process ends, however it ends.

    `note` is told once, where it must wait for another.

    Two that start the same platform would each make its secrets and its supervisor, of which the first would be left
    without a socket to stop it by.

    Raises:
        ConfigError: the home cannot be made.
        Unavailable: another process still holds it after `within_s`.
    """
    layout.make()
    deadline, told = time.monotonic() + within_s, False
    with (layout.run / "up.lock").open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    note("waiting for another `vigil up`")
                told = True
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"another `vigil up` is starting the platform at {layout.home}; wait for it or end it"
                )
            time.sleep(POLL_S)
        yield
