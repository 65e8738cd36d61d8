"""What of what waits for a receiver is given to others in its place: pure, with the clock passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streaming.alerting.messages import Action, Receipt
from streaming.alerting.notifier.outbox import QUIET, Item, Outbox
from streaming.alerting.notifier.standing import Standing
from streaming.alerting.receipts import is_over

EDITS_LIMIT = 5000
"""Edits and notes that wait for a receiver that has fallen: 5,000 x 4 KiB = 20 MiB. Of more the oldest are left out:
the incident's next message says the same, and notes are in its history."""


class Given(NamedTuple):
    """`moving` are others' from now on, `staying` are told to others and here too, `dropped` have nothing to say."""

    moving: list[Item]
    staying: list[Item]
    dropped: list[Item]


class HandingOver:
    """Of one lane. `leaving`: its receiver is out of the rules, and it ends when nothing waits."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._due: float | None = None
        """When others are told of the message that has failed for longest, also where others pass."""

    def has_failed(self, item: Item, now: float) -> None:
        """Whatever it failed for: what fails for long goes to others also where the receiver takes everything else."""
        if item.failing_since is None:
            item.failing_since = now
        if _may_go(item):
            due = item.failing_since + self._standing.patience_s
            self._due = due if self._due is None else min(due, self._due)

    def is_due(self, now: float, *, leaving: bool) -> bool:
        """Whether anything may have to go."""
        return self.gives_up(now, leaving=leaving) or (self._due is not None and (leaving or now >= self._due))

    def gives_up(self, now: float, *, leaving: bool) -> bool:
        """Whether what waits now is not tried again here first."""
        standing = self._standing
        failing = standing.has_fallen or (leaving and standing.failing_since is not None)
        return failing and now < standing.not_before

    def must_go(self, item: Item, now: float, *, leaving: bool) -> bool:
        """Whether others are to be told of it."""
        if not _may_go(item):
            return False
        lasts_s = None if item.failing_since is None else now - item.failing_since
        failed = lasts_s is not None and (leaving or lasts_s >= self._standing.patience_s)
        return failed or self.gives_up(now, leaving=leaving)

    def take(self, outbox: Outbox, receipts: Mapping[str, Receipt], now: float, *, leaving: bool) -> Given:
        """Takes out of the outbox what others have from now on, and what has nothing to say."""
        going = [item for item in outbox if self.must_go(item, now, leaving=leaving)]
        staying = [item for item in going if not leaving and _must_stay(item, receipts)]
        moving = [item for item in going if leaving or not _must_stay(item, receipts)]
        dropped = [item for item in outbox if leaving and _has_nothing_to_say(item)]
        dropped = dropped or self._edits_too_many(outbox)
        outbox.remove([*moving, *dropped])
        for item in staying:
            item.handed_on = item.told_elsewhere = True
        return Given(moving, staying, dropped)

    def look_again(self, waiting: Iterable[Item]) -> None:
        """Of these something may fail for too long next."""
        since = (item.failing_since for item in waiting if _may_go(item))
        self._due = min((at + self._standing.patience_s for at in since if at is not None), default=None)

    def _edits_too_many(self, outbox: Outbox) -> list[Item]:
        """Where it has fallen: of what only edits, the oldest that are too many."""
        if not self._standing.has_fallen:
            return []
        edits = [item for item in outbox if item.notification.action in QUIET]
        return edits[: max(0, len(edits) - EDITS_LIMIT)]


def _may_go(item: Item) -> bool:
    return not item.handed_on and item.notification.action not in QUIET


def _must_stay(item: Item, receipts: Mapping[str, Receipt]) -> bool:
    """Who was told there that it fires must be told there that it is over, whoever else is told meanwhile."""
    receipt = receipts.get(item.notification.incident.incident_id)
    return item.notification.action is Action.RESOLVE and receipt is not None and not is_over(receipt)


def _has_nothing_to_say(item: Item) -> bool:
    """Of an item in a lane that leaves: whether it may go unsent."""
    return item.told_elsewhere or item.notification.action in QUIET
