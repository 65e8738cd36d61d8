"""What goes wrong in an event loop where nothing can be raised, as lines of the log."""

from __future__ import annotations

import asyncio
import errno
from math import inf
from typing import Final

from streaming.worker.logs import logger

log = logger(__name__)

TOLD_EVERY_S: Final = 10.0
"""asyncio tries to accept 512 times a second, and reports each."""


class LoopErrors:
    """An exception handler for one loop. A client's broken TLS handshake comes here, above all, and that there are no
    more files to be opened. An error in a callback is one of this program, and its log line has it whole."""

    def __init__(self) -> None:
        self._told_at = -inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """As asyncio calls it."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            if loop.time() - self._told_at >= TOLD_EVERY_S:
                self._told_at = loop.time()
                log.error("connections cannot be accepted", reason=str(error), remedy="raise the limit: ulimit -n")
        elif isinstance(error, OSError):  # ssl.SSLError among them
            log.warning("connection failed", reason=str(error))
        elif isinstance(error, BaseException):
            log.error("error in a source", what=str(context.get("message")), exc_info=error)
        else:
            log.error("error in a source", what=str(context.get("message")))
