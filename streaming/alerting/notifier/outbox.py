"""What is still to be told to one receiver: pure, with the clock passed in.

An incident's notifications go out in order. While one waits (for a rate limit, for a receiver that is away), later
ones of the same incident merge with it, so that a long wait ends in few messages which say how things are now.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.alerting.messages import Action, Notification
from streaming.kafka.offsets import Span

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
"""Waits double from the first to the longest: 1, 2, 4, ... 30 s. Nothing is ever given up."""


def backoff_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10))


@dataclass(eq=False)
class Item:
    """One message to be sent. `spans` are the records that it settles, `look_first` as receivers understand it."""

    notification: Notification
    spans: list[Span]
    look_first: bool = False
    attempts: int = 0
    not_before: float = 0.0


@dataclass
class Outbox:
    """Items by incident, in order of arrival. At most two of one incident wait: its message, and its resolution."""

    waiting: dict[str, list[Item]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(items) for items in self.waiting.values())

    def add(self, notification: Notification, span: Span, *, look_first: bool) -> None:
        """Takes a notification in."""
        items = self.waiting.setdefault(notification.incident.incident_id, [])
        _merge(items, Item(notification, [span], look_first))

    def take(self, now: float) -> Item | None:
        """The item to send now, of the incident that waits longest; None: none is due.

        It is out of the outbox until `put_back`: what comes meanwhile does not merge into what is being sent.
        """
        for incident, items in self.waiting.items():
            if items[0].not_before <= now:
                item = items.pop(0)
                if not items:
                    del self.waiting[incident]
                return item
        return None

    def put_back(self, item: Item, not_before: float, *, unknown: bool) -> None:
        """It was not sent, as far as is known, and waits again; its incident goes to the back of the queue."""
        item.attempts += 1
        item.not_before = not_before
        item.look_first = item.look_first or unknown
        items = [item]
        for later in self.waiting.pop(item.notification.incident.incident_id, []):
            _merge(items, later)
        self.waiting[item.notification.incident.incident_id] = items

    def next_at(self) -> float | None:
        """When something is due; None: nothing waits."""
        return min((items[0].not_before for items in self.waiting.values()), default=None)

    def clear(self) -> None:
        """Forgets everything: it is another notifier's now."""
        self.waiting.clear()


def _merge(items: list[Item], new: Item) -> None:
    """Puts a later item of one incident behind or into what waits of it."""
    last = items[-1] if items else None
    action = new.notification.action
    if last is None:
        items.append(new)
    elif action is Action.RESOLVE and last.notification.action is Action.UPDATE:
        # The resolution edits the message too: the update before it has nothing left to say.
        items[-1] = _into(last, new, Action.RESOLVE)
    elif action is Action.REOPEN and last.notification.action is Action.RESOLVE and not last.look_first:
        # It resolved and came back while nobody was told of either: it is simply still there.
        still = _into(last, new, Action.UPDATE)
        items.pop()
        if items:
            before = items.pop()
            still = _into(before, still, before.notification.action)
        items.append(still)
    elif action is Action.UPDATE and last.notification.action is not Action.RESOLVE:
        items[-1] = _into(last, new, last.notification.action)
    else:
        items.append(new)


def _into(last: Item, new: Item, action: Action) -> Item:
    merged = Notification(action=action, incident=new.notification.incident, created_ms=last.notification.created_ms)
    return Item(merged, [*last.spans, *new.spans], last.look_first or new.look_first, last.attempts, last.not_before)
