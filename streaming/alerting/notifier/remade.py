"""The receiver of a lane, which may have to be made again."""

from __future__ import annotations

from collections.abc import Callable

from streaming.alerting.notifier.guard import guarded
from streaming.alerting.receivers.base import Closes, Receiver, Undelivered
from streaming.errors import ConfigError


class Remade:
    """The receiver of a lane: made when it is asked for, and made again when it is to be."""

    def __init__(self, name: str, make: Callable[[], Receiver]) -> None:
        self._name, self._make = name, make
        self._made: Receiver | None = None
        self._is_stale = self.was_replaced = False

    def replace(self, make: Callable[[], Receiver]) -> None:
        """The next time it is asked for, it is another."""
        self._make, self._is_stale, self.was_replaced = make, True, True

    def make_anew(self) -> None:
        """The next time it is asked for, it is made again."""
        self._is_stale = True

    def made(self) -> Receiver:
        """The receiver.

        Raises:
            Undelivered: it cannot be made.
        """
        if self._is_stale:
            self._is_stale = self.was_replaced = False
            self.close()
        if self._made is None:
            with guarded(self._name):
                try:
                    self._made = self._make()
                except ConfigError as error:
                    raise Undelivered("misconfigured", str(error), misconfigured=True) from error
        return self._made

    def close(self) -> None:
        """Lets go of what the receiver holds, where it holds something."""
        made: object = self._made
        if isinstance(made, Closes):
            made.close()
        self._made = None
