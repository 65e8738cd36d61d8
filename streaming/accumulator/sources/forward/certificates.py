"""A source's certificates as their files are now: renewed ones are taken without a restart."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

from streaming.accumulator.configuration.plan import Tls
from streaming.accumulator.sources.tls import server_context
from streaming.errors import ConfigError
from streaming.worker.logs import logger

log = logger(__name__)

LOOK_EVERY_S = 1.0

Stamps = list[tuple[int, int, int] | None]


class Certificates:
    """`current()` is for each new connection. Files that cannot be used leave the last good ones in force.

    Raises:
        ConfigError: they cannot be used at the start.
    """

    def __init__(self, tls: Tls, clock: Callable[[], float] = time.monotonic) -> None:
        self._tls, self._clock = tls, clock
        self._stamps, self._looked_at = self._look(), clock()
        self._context = server_context(tls)

    def current(self) -> ssl.SSLContext:
        """What a new connection is wrapped in; looks at the files at most once in `LOOK_EVERY_S`."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = server_context(self._tls)
        except ConfigError as error:
            log.error("changed certificates cannot be used; the old ones stay in force", reason=str(error))
        else:
            log.info("changed certificates taken", cert_path=self._tls.cert_path)

    def _look(self) -> Stamps:
        paths = (self._tls.cert_path, self._tls.private_key_path, self._tls.ca_path)
        return [_stamp(path) for path in paths if path is not None]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
