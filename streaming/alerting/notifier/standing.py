"""How a receiver stands: whether it delivers, when it is tried next, and from when on others are told instead. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.alerting.notifier.outbox import backoff_s
from streaming.alerting.receivers.base import Undelivered

UNHEALTHY_AFTER = 6
"""So many failures in a row, with nothing delivered between: 1 + 2 + 4 + 8 + 16 = 31 s of waiting, whatever the
reason. Alerts that reach nobody for so long must show."""

PACED = "paced"
"""Reason of a wait that is no failure: the receiver keeps to its own rate."""


@dataclass
class Standing:
    """Of one receiver, with the clock passed in. It has fallen once it failed for `patience_s` with nothing delivered
    between, or at once where only a person can mend it; what waits then goes to others."""

    patience_s: float
    not_before: float = 0.0
    """When it may be tried next."""
    failures: int = 0
    failing_since: float | None = None
    has_fallen: bool = False
    reason: str = ""
    """What it last failed for."""
    fell_by_asking: bool = False
    """It fell since it said, when asked, that it would take nothing: that it says otherwise is enough to rise."""

    owes_message: bool = False
    """A message has failed since it last took one: a sign of life that passes does not say that messages would."""

    def failed(self, failure: Undelivered, now: float, *, is_sign: bool = False) -> bool:
        """An attempt failed for a reason that others would meet too: the receiver is left alone for a while.

        `is_sign`: of a sign of life, not of a message. True where it falls now.
        """
        if failure.reason == PACED:
            self.not_before = now + (failure.wait_s or 0.0)
            return False
        self.owes_message = self.owes_message or not is_sign
        self.failures += failure.wait_s is None
        wait_s = backoff_s(max(1, self.failures)) if failure.wait_s is None else failure.wait_s
        self.not_before = now + wait_s
        self.reason = str(failure)
        if self.failing_since is None:
            self.failing_since = now
        return self._falls(failure.misconfigured) or self.waited(now)

    def waited(self, now: float) -> bool:
        """Time has passed, also where it asked to be left alone for long. True where it falls now."""
        return self._falls(self.failing_since is not None and now - self.failing_since >= self.patience_s)

    def refused(self, failure: Undelivered, now: float) -> bool:
        """It said, when asked, that it would take nothing. True where it falls now."""
        self.reason = str(failure)
        if failure.misconfigured and not self.has_fallen:
            self.fell_by_asking, self.not_before = True, now
        return self._falls(failure.misconfigured)

    def delivered(self) -> bool:
        """It took something, or (where it fell by asking) says that it would. True where it had fallen."""
        rises = self.has_fallen
        if self.failing_since is not None:
            self.not_before = 0.0
        self.failures, self.failing_since, self.has_fallen = 0, None, False
        self.fell_by_asking, self.owes_message, self.reason = False, False, ""
        return rises

    def replaced(self) -> None:
        """It is another receiver now, which is tried at once. Until that delivers, others go on being told."""
        self.not_before = 0.0

    def is_ill(self, failure: Undelivered) -> bool:
        """Whether the health answer must say so."""
        return failure.misconfigured or self.failures >= UNHEALTHY_AFTER or self.has_fallen

    def _falls(self, lasts: bool) -> bool:
        falls = lasts and not self.has_fallen
        self.has_fallen = self.has_fallen or lasts
        return falls
